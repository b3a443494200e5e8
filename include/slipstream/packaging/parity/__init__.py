"""Whether a compiled model answers as the original does, and what follows if it does not."""
