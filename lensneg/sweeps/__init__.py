"""Sweep files from the survey: which to take, fetching them, and checking those at hand."""
