"""Models and the wire formats they speak."""
