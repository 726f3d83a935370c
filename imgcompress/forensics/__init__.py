"""What a file tells about itself: its quality and its past, without the original."""
