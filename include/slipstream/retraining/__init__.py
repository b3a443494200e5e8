"""The retraining policy: what it looks at, what it says, and what it would have said."""
