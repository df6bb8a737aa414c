"""Checks of what the project promises, too long for every change (`python -m checks`); never installed."""
