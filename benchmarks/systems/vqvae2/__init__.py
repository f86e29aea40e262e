"""VQ-VAE-2 (Razavi et al., 2019)."""
