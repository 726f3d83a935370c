"""Recompress image data sets to ordinary JPEG files, spending bits where people look."""

__version__ = "0.1.0"
