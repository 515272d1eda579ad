"""The Lambda functions of the state machine. Each module has the handler of one state, and its name."""
