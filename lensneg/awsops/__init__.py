"""What an operator does with a deployed stack: look before a run, start, follow, stop, resume, fetch."""
