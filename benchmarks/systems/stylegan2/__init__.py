"""StyleGAN2 (Karras et al., 2020), its codes in W and in W+."""
