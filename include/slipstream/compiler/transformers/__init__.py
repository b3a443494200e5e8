"""What each kind of fitted transformer that mixes its inputs, or changes their shape, makes of them."""
