"""The parts of the command `benchmarks.measure`: the images of a folder, two sets of them, pairs."""
