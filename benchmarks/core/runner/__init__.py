"""A run: what is asked for, measured and kept.

What is asked for      request.py, setup.py (its systems and data)
The run                evaluation.py, precision_guard.py, watching.py (who is told where it is)
What comes out         results.py (in memory), run_folder.py (on disk), samples.py (single images), provenance.py
"""
