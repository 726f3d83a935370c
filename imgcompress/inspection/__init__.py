"""Describes files: what they are, how good they look, what has been done to them, and what to do next."""
