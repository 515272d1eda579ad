"""Work with a deployed stack: its readiness, uploads, executions and results."""
