"""Databases as a source: which database, one snapshot of it, its rows as Parquet, and where the next read begins."""
