"""A deployed stack: readiness, executions, deployment."""
