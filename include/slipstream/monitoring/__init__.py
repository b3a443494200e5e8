"""How a window is measured and judged."""
