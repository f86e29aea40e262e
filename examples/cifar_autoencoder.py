"""An autoencoder of CIFAR-10 with 768 numbers, by its author's weights (git clone https://github.com/REPOSITORY).

python -m benchmarks.run reconstruction --data CIFAR-10 --systems cifar_autoencoder:CifarAutoencoder
"""

from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from benchmarks.plugin import Code, Part, System, UserError

REPOSITORY = "chenjie/PyTorch-CIFAR-10-autoencoder"
SHA256 = "abe98cacc28be1bbebd9aaef0d2d1cdb3974350e400d647739d832dc7a0bbcf3"


class CifarAutoencoder(System):
    """The autoencoder of chenjie/PyTorch-CIFAR-10-autoencoder: 48 features at 4 x 4 places"""

    title, image_size, range = "CIFAR-10 autoencoder", 32, (0, 1)
    capabilities = frozenset({"encode", "decode", "semantic"})
    semantic_parts, fingerprint = (Part((48, 4, 4)),), SHA256

    def __init__(self, path, device):  # path: the folder of their repository
        file = Path(path or REPOSITORY.partition("/")[2], "weights/autoencoder.pkl")
        if not file.is_file() or sha256(file.read_bytes()).hexdigest() != SHA256:
            raise UserError(f"{file}: is not that of github.com/{REPOSITORY}")
        down = [nn.Conv2d(3, 32, 4, 4), nn.ReLU(), nn.Conv2d(32, 48, 3, 3, 2)]
        up = [nn.ConvTranspose2d(48, 32, 3, 3, 2), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 4)]
        self.net = nn.Module()  # the layers of commit 15cddcb, whose weights these are
        self.net.encoder = nn.Sequential(*down, nn.ReLU())
        self.net.decoder = nn.Sequential(*up, nn.Sigmoid())
        self.net.to(device).load_state_dict(torch.load(file, "cpu", weights_only=True))

    def encode_semantic(self, images):
        return self.net.encoder(images)

    def decode(self, code: Code, steps=100):
        return self.net.decoder(code.semantic)
