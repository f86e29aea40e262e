"""Autoencoders of the package diffusers."""
