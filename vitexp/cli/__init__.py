"""The command line."""

NARROW = 60
"""Columns of a terminal below which things stand below, not beside one another."""
