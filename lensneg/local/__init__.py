"""The run on one machine: the same state machine, handlers and Spark job, without an AWS account."""
