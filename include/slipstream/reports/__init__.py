"""Renderers: results to HTML."""
