"""Files, command lines, errors, settings, locks and processes: used by every package.

PyTorch is imported only when needed.
"""
