"""What several benchmarks need: fits of probes, new images, Frechet distances, use of codebooks."""
