"""Tables of records, published numbers and comparisons. Knows records and nothing of how they were measured."""
