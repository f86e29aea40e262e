"""Mixtures of Gaussians for the codes of every system of the study, and all measurements.

    OMP_NUM_THREADS=1 python docs/results/latent/generators.py runs/latent-study

It measures every system in runs/latent-study/codes, and the samples of its two generators, of one
and of ten Gaussians, in runs/latent-study/samples-1 and samples-10. It continues after an
interruption.
"""

import sys
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from autoencoders import LINEAR, TRAINED, encoded, load
from sklearn.mixture import GaussianMixture
from torch import Tensor

from benchmarks import evaluate, systems
from benchmarks.runtime.digest import digest
from benchmarks.systems import Code, System
from diffae.diffusion import noise

# Of at most 1,024 numbers; StyleGAN2's codes are found by optimisation, those of the others are larger.
PACKAGED = ("diffae", "vqgan", "d2c", "pixels-pca")
ALL = (*PACKAGED, *TRAINED, "scrambled", *LINEAR)
COMPONENTS = (1, 10)
OF_SPACE = (
    "viv", "code_fd", "epps_pulley", "sec_25", "sec_50", "lds", "cds", "rmsc", "twonn", "density_cv",
)  # fmt: skip
CANDIDATES = ("reconstruction", "probes", "interpolation", "latent")
SAMPLED = ("unconditional", "memorisation")
SETTINGS = {
    **{"reconstruction.images": 192, "reconstruction.beside_steps": [10]},
    **{"latent.images": 192, "latent.training": 6_248, "latent.moved": 32, "latent.bits": [4]},
    **{"latent.space": 6_248, "latent.numbers": list(OF_SPACE)},
    **{"probes.train": 1_500, "probes.valid": 500, "probes.test": 800},
    **{"interpolation.pairs": 32, "samples.count": 512, "memorisation.train": 2_048},
}


class Samples(System):
    """Images decoded from new codes: a mixture of Gaussians of the codes of training images

    Ghosh et al., "From variational to deterministic autoencoders", 2020: ten Gaussians
    of full covariance, fitted to the codes of an autoencoder that is trained already.
    """

    capabilities = frozenset({"sample"})

    def __init__(self, inner: System, components: int):
        self.inner, self.components, self.image_size = inner, components, 32
        self.title, self.name = inner.title, f"samples-{components}-{systems.slug(inner.title)}"
        codes = encoded(inner)
        self.shape, self.codes = codes.shape[1:], codes.flatten(1).double().numpy()
        self.mean, self.std = self.codes.mean(0), self.codes.std(0).clip(min=1e-6)
        self.latent_dim = self.codes.shape[1]
        self.fingerprint = f"mixture-{components}-{digest(self.codes)}"

    @cached_property
    def mixture(self) -> tuple[GaussianMixture, np.ndarray]:
        """The mixture, and Cholesky factors of its covariances."""
        found = GaussianMixture(self.components, reg_covar=1e-3, max_iter=20, random_state=0)
        found.fit((self.codes - self.mean) / self.std)
        return found, np.linalg.cholesky(found.covariances_)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        found, factors = self.mixture
        start = noise.normal(seed, "latent", indices, (self.latent_dim,)).double().numpy()
        codes = []
        for i, eps in zip(indices, start, strict=True):
            k = noise.generator(seed, "component", i).choice(self.components, p=found.weights_)
            codes.append((found.means_[k] + factors[k] @ eps) * self.std + self.mean)
        semantic = torch.from_numpy(np.stack(codes)).float().unflatten(1, self.shape)
        stochastic = "stochastic" in self.inner.capabilities
        x_T = self.inner.random_x_T(indices, seed) if stochastic else None
        return self.inner.solving("fast").decode(Code(semantic, x_T), 10)


def main(folder: Path) -> None:
    common = {"settings": SETTINGS, "solver": "fast", "steps": 10, "stand_ins": True}
    for title in ALL:
        system, place = load(title, folder), systems.slug(title)
        evaluate({system.title: system}, CANDIDATES, out=folder / "codes" / place, **common)
        for k in COMPONENTS:
            out = folder / f"samples-{k}" / place
            evaluate({system.title: Samples(system, k)}, SAMPLED, out=out, **common)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
