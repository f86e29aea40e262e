"""What systems and metrics stand on: they know nothing of a run, its benchmarks or its results.

registry.py    names to objects, ours and those of plug-ins
choices.py     the values of --precision and --batch-size
batches.py     how many images a network is given at once
precision.py   how exactly networks compute
overshoot.py   values outside [-1, 1] among the images that systems make
digest.py      a hash of arrays
errors.py      what cannot be had, and what broke
"""
