"""Pairs of pictures: harmless changes, and regressions that a check should catch."""
