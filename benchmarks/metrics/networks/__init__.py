"""The networks that metrics look through, each named by its weights."""
