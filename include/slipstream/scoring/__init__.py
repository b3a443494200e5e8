"""Batch scoring: the rows of files or of the data table, answered in chunks and written whole or not at all."""
