"""Metrics of sets of images: `groups` finds them by name."""
