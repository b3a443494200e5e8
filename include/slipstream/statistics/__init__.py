"""Figures of arrays, with no spec and no store: metrics, curves, intervals, tests of many at once, times in buckets."""
