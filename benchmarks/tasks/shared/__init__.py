"""Parts of several benchmarks: fits of probes, new images, Frechet distances, use of codebooks."""
