"""A simulated house and a strict stand-in exchange, for the demo and the tests. The daemon never imports this."""
