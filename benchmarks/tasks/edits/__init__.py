"""Edits of images whose edited version is known.

`edits` measures them, `decoded` has what is decoded, `directions` the edits, `classifier` what sees an attribute
in an image.
"""
