"""A model that was fitted elsewhere, on its way to a candidate: what its file says, and whether that fits here."""
