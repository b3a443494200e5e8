"""How champion and challenger answer captured requests."""
