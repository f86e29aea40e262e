"""Parts of several benchmarks: fits of probes, new images, distances of sets of features."""
