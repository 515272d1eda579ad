"""Gate 4: every rule recomputed from the files as written. Shares no code with rules and stages."""
