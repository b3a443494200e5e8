"""From a file of rows to a commented model file: look at all of it, choose, write."""
