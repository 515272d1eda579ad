"""What each state of the graph does; one module a state, with its name."""
