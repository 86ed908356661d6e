"""The ways in which replies go out, one a file."""
