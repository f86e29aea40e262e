"""What benchmarks stand on.

What a benchmark is    benchmark.py, registry.py (where it is found)
What it yields         measurement.py
Its settings           profiles.py, sizes.py (their types)
What it is given       context.py (and rows, which come out), and through it images.py (images, their codes and
                       features), store.py (finished work), solving.py (in which steps)
What a run would take  plan.py (--dry-run), calls.py (which counts it)
A whole run            runner/
"""
