"""Verify: is everything that a store should hold there, and is it what was written?"""
