"""The benchmark `latent`: the space of codes, apart from how well an image comes back from its own."""
