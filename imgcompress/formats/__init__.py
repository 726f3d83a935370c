"""Writers of standard file formats."""
