"""Ways from pictures to files, a format each: all tries and settings included."""
