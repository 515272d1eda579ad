"""The work of each state of the graph, in a module or folder with the state's name."""
