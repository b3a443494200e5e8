"""Requests and replies: the application, its routes, who may ask, and what a request may cost."""
