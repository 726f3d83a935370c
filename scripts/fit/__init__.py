"""What fits the constants of the starting tables to photographs."""
