"""The rate-distortion benchmark behind scripts/bench rd."""
