"""From a dataset version to a fitted candidate: the labels, the split, the record."""
