"""Fits the weights of the perceptual distance to human judgments."""
