"""What each kind of fitted model computes, as matrices."""
