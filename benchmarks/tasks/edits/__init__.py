"""Edits of images whose edited version is known, or is not.

`edits` measures them, `decoded` has what is decoded, `directions` the edits, `classifier` what sees an attribute
in an image; `unpaired` has edits without a truth, `by_protocol` the numbers of the evaluation codes of others.
"""
