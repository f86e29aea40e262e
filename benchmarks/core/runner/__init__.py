"""A run: what is asked for, measured and kept.

What is asked for      request.py, setup.py (its systems and data)
The run                loop.py (every benchmark), rows.py (one of them), evaluation.py (what both work on), precision_guard.py,
                       callbacks.py (who is told where it is)
What comes out         results.py (in memory), run_folder.py (on disk), samples.py (single images), provenance.py
"""
