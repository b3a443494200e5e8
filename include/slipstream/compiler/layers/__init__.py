"""Programs of format 2: matrices computed one from the other, behind the vector of format 1."""
