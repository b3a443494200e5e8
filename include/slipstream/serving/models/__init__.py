"""The versions that are loaded: how they come into service, and which of them answers."""
