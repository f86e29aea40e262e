"""What benchmarks stand on, and the run that measures them.

What is asked for      request.py, profiles.py (sizes.py: the types of settings), setup.py (its systems and data)
What a benchmark is    base.py, registry.py (where it is found), plan.py (--dry-run), tables.py
What it is given       context.py, and through it selection.py (images), codes.py (their codes), store.py (finished work)
                       images.py (pictures), solving.py (in which steps)
What comes out         rows.py, results.py (in memory), run_folder.py (on disk), samples.py (single images), provenance.py
The whole of a run     evaluation.py, precision_guard.py, watching.py (who is told where it is)
"""
