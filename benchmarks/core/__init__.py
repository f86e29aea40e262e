"""What benchmarks stand on.

What a benchmark is    benchmark.py, registry.py (where it is found), plan.py (--dry-run), tables.py
Its settings           profiles.py, sizes.py (their types)
What it is given       context.py, and through it selection.py (images), codes.py (their codes), store.py (finished work),
                       images.py (pictures), solving.py (in which steps)
What comes out         rows.py
A whole run            runner/
"""
