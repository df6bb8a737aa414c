"""Interleaved rANS over integer tables: bytes and integers only, no images, no floats that decide anything."""

from vaecodec.rans.lanes import choose_lanes, information
from vaecodec.rans.tables import CdfTables

__all__ = ["CdfTables", "choose_lanes", "information"]
