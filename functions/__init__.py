"""The Lambda functions of the state machine: one thin handler a module, named after its state."""
