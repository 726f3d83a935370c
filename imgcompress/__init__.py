"""Recompress image data sets to ordinary JPEG, WebP and AVIF files, spending bits where people look."""

__version__ = "0.1.0"
