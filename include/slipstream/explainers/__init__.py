"""Explainers: what says which inputs moved the answers."""
