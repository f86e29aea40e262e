"""A run: from options to a run folder.

What is asked for      request.py, setup.py (its systems and data)
The run                loop.py (all benchmarks, callbacks: start reading here), evaluation.py (the systems and the
                       context of the run, the rows of one benchmark)
What comes out         a Run (reports/records/run_folder.py), which run_folder.py fills and writes while it is
                       measured; benchmarks/results.py has its views for Python
"""
