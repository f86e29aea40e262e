"""The protocol of systems: the base class, their codes, and the checks of both.

base.py (the class `System`), parts.py (codes); checked.py (every call of a system), contract.py
(its fields), returned.py (its results and their range), trial.py (a first look at a foreign system),
source.py (its fingerprint)
"""
