"""Interleaved rANS over integer tables: bytes and integers only, no images, no floats that decide anything."""

from vaecodec.rans.lanes import bits_of, choose_lanes, information, total_cost
from vaecodec.rans.tables import CdfTables

__all__ = ["CdfTables", "bits_of", "choose_lanes", "information", "total_cost"]
