"""From bytes to pixels, planes and DCT coefficients, and back to a file."""
