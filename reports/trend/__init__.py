"""Headlines by commit: an append-only file of JSON lines, and its outputs."""
