"""The networks of the model: UNet, semantic encoder and latent DDIM, and their configurations."""
