"""How weights are stored: reading each kind of file safely, and what the parts of a network are called in it."""
