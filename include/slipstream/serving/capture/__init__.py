"""Answered rows and labels on their way into the store."""
