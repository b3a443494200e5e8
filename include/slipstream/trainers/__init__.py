"""Trainers: what fits a model."""
