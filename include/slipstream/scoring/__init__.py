"""From a bundle to answers: the model file, the bundle, the scorer."""
