"""VQ-GAN (Esser et al., 2021)."""
