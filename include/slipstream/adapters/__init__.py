"""Models that other libraries fitted, as estimators that take a frame; their import paths stand in stored bundles."""
