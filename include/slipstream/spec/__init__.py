"""The model file: what it may say, read strictly and checked whole."""
