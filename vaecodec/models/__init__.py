"""The codec network and its export."""
