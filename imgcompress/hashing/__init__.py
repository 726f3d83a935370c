"""Perceptual hashes: pictures that look alike differ in few bits."""
