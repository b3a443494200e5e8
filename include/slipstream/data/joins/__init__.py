"""Joined tables: their rows as they come, and what of them was known at the event time of a row."""
