"""How coarse each coefficient may be, and what it then costs in bits."""
