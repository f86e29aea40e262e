"""Parts that several benchmarks share: fits of probes, new images, Frechet distances, use of
codebooks.
"""
