"""One loaded version: how it reads rows, answers them and warns of what training never saw."""
