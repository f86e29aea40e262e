"""Reconstruction (Tables 1 and 2).

`reconstruction` measures it, `tables` are its tables, and `by_protocol` measures it as the evaluation
codes of others do.
"""
