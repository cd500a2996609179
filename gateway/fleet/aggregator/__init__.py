"""The fleet as one agent towards an exchange: what is owed for all homes, and what came of it."""
