"""A version's files: manifest, signature, the fitted estimator, and the scorer that answers from them."""
