"""Reconstruction (Tables 1 and 2).

`reconstruction` measures it, `by_protocol` does so as the evaluation codes of others do.
"""
