"""Data sets whose images are drawn from known factors, read from their public files as they are."""
