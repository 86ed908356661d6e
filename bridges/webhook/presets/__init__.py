"""The ways in which services prove that a request is theirs, one a file."""
