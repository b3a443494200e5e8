"""Servers, started, measured and stopped: the parts of the serving benchmark."""
