"""A fitted pipeline as a program of arrays: compiled, run, explained, and held against the original."""
