"""The parts of the command `benchmarks.measure`: its request and answers, and each family of metrics."""
