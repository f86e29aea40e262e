"""Headlines by commit: a file of JSON lines that only grows, and what is made of it."""
