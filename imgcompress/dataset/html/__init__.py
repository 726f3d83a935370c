"""The page that shows a run to people, in pieces."""
