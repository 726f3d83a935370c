"""Whether one picture is as good as another, and where not: ``imgcompress compare`` and ``hash``."""
