"""Records: what a number is, how uncertain it is, and the run folders that hold them."""
