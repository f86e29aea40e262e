from hashlib import sha256
from pathlib import Path

from benchmarks.plugin import Code, System
from my_vae.network import VAE


class MyVAE(System):
    """My VAE: one line for `list`"""

    title, image_size, latent_dim = "My VAE", 32, 64
    capabilities = frozenset({"encode", "decode", "semantic"})

    def __init__(self, path, device):  # path: what follows the name in --ckpt NAME=PATH
        self.net = VAE.load(path).to(device)
        self.fingerprint = sha256(Path(path).read_bytes()).hexdigest()

    def encode_semantic(self, images):  # N x 3 x S x S in [-1, 1] -> N x d
        return self.net.encode(images)

    def decode(self, code: Code, steps=100):  # codes -> N x 3 x S x S in [-1, 1]
        return self.net.decoder(code.semantic)
