"""What systems and metrics are built on. These modules know nothing of runs, benchmarks or results.

registry.py    lookup of benchmarks and systems by name, plug-ins included
choices.py     the values of --precision and --batch-size
batches.py     how many images a network is given at once
precision.py   the floating-point precision of networks
overshoot.py   values outside [-1, 1] in generated images
digest.py      a hash of arrays
errors.py      exceptions for what is missing and what failed
"""
