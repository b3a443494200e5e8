"""Targets: where a version is put into service."""
