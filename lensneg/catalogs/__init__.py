"""Lens catalogues: reading, column mapping, selection."""
