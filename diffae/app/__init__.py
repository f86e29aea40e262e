"""A page on this machine to edit pictures with a model (`python -m diffae.app`)."""
