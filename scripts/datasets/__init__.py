"""Folders of pictures made from photographs, for trying whole runs."""
