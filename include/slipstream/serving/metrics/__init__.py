"""What the endpoint counts."""
