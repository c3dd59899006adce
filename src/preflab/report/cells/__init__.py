"""The cells of a grid and their numbers, as tables and figures ask for them."""
