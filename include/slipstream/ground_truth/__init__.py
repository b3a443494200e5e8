"""How labels are read, and joined to predictions."""
