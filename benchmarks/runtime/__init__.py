"""The foundation of systems and metrics. These modules know nothing of runs, benchmarks or results.

registry.py    lookup of benchmarks and systems by name, plug-ins included
choices.py     the values of --precision and --batch-size
calling.py     how networks are called: failures, batches, values outside [-1, 1]
foreign.py     settings of the process that a plug-in changes
precision.py   the floating-point precision of networks
digest.py      a hash of arrays
errors.py      exceptions for what is missing and what failed
"""
