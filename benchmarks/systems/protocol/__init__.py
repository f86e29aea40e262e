"""What a system is, what its codes are made of, and the checks of both.

base.py (the class `System`), parts.py (codes); checked.py (every call of a system), contract.py (its fields), returned.py (its results),
calling.py (errors), source.py (its fingerprint)
"""
