"""Pages that need no network: what all of them share, and a pair of pictures to be looked at in them."""
