"""One training from its first line to its last."""
