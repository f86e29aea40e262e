"""What benchmarks stand on.

What a benchmark is    benchmark.py, registry.py (where it is found)
What it yields         measurement.py (jobs and numbers; a system with its solver and T), job.py
Its settings           profiles.py, sizes.py (their types), suites.py (frozen, for papers)
What it is given       context.py (and rows, which come out), and through it images.py (images, their codes and
                       features), store.py (finished work)
A whole run            runner/
"""
