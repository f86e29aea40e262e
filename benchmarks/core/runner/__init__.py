"""A run: from options to a run folder.

What is asked for      request.py, setup.py (its systems and data)
The run                loop.py (all benchmarks, callbacks: start reading here), evaluation.py (the systems and the
                       context of the run, the rows of one benchmark), precision_guard.py
What comes out         results.py (in memory), run_folder.py (on disk), provenance.py
"""
