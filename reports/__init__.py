"""Records and the tables made of them. Knows nothing of how a number was measured."""
