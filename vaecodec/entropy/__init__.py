"""Probability side of the codec: scale table, fitted tables, symbol order."""
