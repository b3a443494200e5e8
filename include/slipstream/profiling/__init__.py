"""Mergeable profiles of columns, distances between them, and tests of what is drift."""
