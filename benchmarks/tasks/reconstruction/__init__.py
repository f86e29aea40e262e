"""Reconstruction (Tables 1 and 2), measured by `reconstruction`."""
