"""The one-machine run: the same state machine, handlers and Spark job, without an account."""
