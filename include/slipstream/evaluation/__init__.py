"""How good a candidate is, and whether the figures can be trusted."""
