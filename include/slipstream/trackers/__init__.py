"""Trackers: who else is told of runs."""
