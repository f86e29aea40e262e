"""Five VAEs of CelebA, by published weights (git clone https://github.com/REPOSITORY).

S=disentangling_vae:VAE && W=disentangling-vae/results/VAE_celeba/model.pt
python -m benchmarks.run probes --data FACES --systems $S --ckpt $S=$W
"""

from functools import partial
from hashlib import sha256
from pathlib import Path

import torch
from torch import nn

from benchmarks.plugin import System, UserError

REPOSITORY = "YannDubs/disentangling-vae"
SHA256 = {
    "VAE": "a9e1e6cd8f6d26680b9252dd30168b47b7ace801dcd3b60e2cb91ffa57768b56",
    "beta-VAE (H)": "39f29f54a3287219fe30e676e0bc8ba8dbf024b3e648d5be633177814bdb0ab7",
    "beta-VAE (B)": "6218609f0706ecd732ecba409ae5dd21287ee5810c41490d4d9e55915517fcbd",
    "FactorVAE": "6baabb72ad2d43ae2872cbd73130aa11f749dd6891517d4c5c818e6fdb124a96",
    "beta-TCVAE": "61c1e59fc3e66c56bffefe2ce90e1da24a8969d2e0148a8a1db45544ed5d6d44",
}


class OfCelebA(System):
    """A VAE of YannDubs/disentangling-vae for CelebA; its code is the mean of q(z | x)"""

    latent_dim, image_size, range = 10, 64, (0, 1)
    capabilities = frozenset({"encode", "decode", "semantic"})

    def __init__(self, title, path, device):  # path: model.pt in results/..._celeba
        self.title, self.fingerprint, file = title, SHA256[title], Path(path or "model.pt")
        if not file.is_file() or sha256(file.read_bytes()).hexdigest() != self.fingerprint:
            raise UserError(f"{file}: is not the {title} of github.com/{REPOSITORY}")
        down = [m for n in (3, 32, 32, 32) for m in (nn.Conv2d(n, 32, 4, 2, 1), nn.ReLU())]
        up = [m for n in (32, 32, 32, 3) for m in (nn.ReLU(), nn.ConvTranspose2d(32, n, 4, 2, 1))]
        dense = [m for n in (512, 256, 10, 256) for m in (nn.Linear(n, 256), nn.ReLU())]
        self.encoder = nn.Sequential(*down, nn.Flatten(), *dense[:4], nn.Linear(256, 20))
        middle = (nn.Linear(256, 512), nn.Unflatten(1, (32, 4, 4)))
        self.decoder = nn.Sequential(*dense[4:], *middle, *up, nn.Sigmoid())
        net = nn.Sequential(self.encoder, self.decoder).to(device)
        theirs = torch.load(file, device, weights_only=True).values()  # in the order of `net`
        net.load_state_dict(dict(zip(net.state_dict(), theirs, strict=True)))

    def encode_semantic(self, images):
        return self.encoder(images)[:, ::2]

    def decode(self, code, steps=100):
        return self.decoder(code.semantic)


VAE, BetaVAEH, BetaVAEB, FactorVAE, BetaTCVAE = (partial(OfCelebA, title) for title in SHA256)
