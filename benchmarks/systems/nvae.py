"""NVAE as a system: a checkpoint of NVlabs' code, or a folder of ours.

Its code is the z of every group of the hierarchy, the coarsest first, after the group's flows.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.systems.base import (
    DECODE,
    ENCODE,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    Code,
    several,
)
from benchmarks.systems.files import containers, folder
from benchmarks.systems.files.address import read_address
from benchmarks.systems.files.nvae_arguments import read_arguments
from benchmarks.systems.networks.nvae import NVAE, Gaussian, NVAEConfig
from benchmarks.systems.networks.nvae_cells import grey_levels, to_bits
from benchmarks.systems.parts import Part, Semantic
from benchmarks.systems.quantised import Maps
from benchmarks.systems.returned import in_words
from diffae import noise, trained_on
from diffae.errors import UserError
from diffae.torch_file import Arguments

# What z is of its posterior, and what the sigma of priors is multiplied by when new images are drawn.
OPTIONS = {
    "posterior": ("mean", "sample"),
    "temperature": ("1.0", "0.9", "0.8", "0.7", "0.6", "0.5", "0.4"),
}
KIND = "an NVAE of NVlabs'"
MOST_READ = 16384  # numbers of all groups that a probe sees


class NVAESystem(Maps):
    """NVAE: a hierarchy of groups of latent maps (NVlabs' checkpoints)"""

    name, title = "nvae", "NVAE"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC, SAMPLE, SAMPLE_LATENTS})
    computes_in_float64 = True

    def __init__(self, path: str | Path | None, device: torch.device):
        address = read_address(path, OPTIONS)
        self.options, self.device = address.options, device
        source = self.source = address.path or folder.shipped("nvae", "NVAE", "checkpoint.pt")
        model, digest = (_of_folder if folder.is_folder(source) else _of_file)(source)
        self.model = model.to(device)
        self.fingerprint = "-".join((digest, *self.options.values()))
        self.trained_on = trained_on.read(source)
        self._count(model.configuration)

    def _count(self, config: NVAEConfig) -> None:
        """Numbers of the z of all groups, of which probes see a share that they can be fitted to."""
        self.image_size = config.image_size
        self.semantic_parts = tuple(Part(shape) for shape in config.latent_shapes())
        self.latent_dim = sum(part.places or 0 for part in self.semantic_parts)
        self.most_read = MOST_READ // len(self.semantic_parts)

    def describe(self) -> Mapping[str, Any]:
        bits = self.model.configuration.bits
        temperature = float(self.options["temperature"])
        return {
            **super().describe(),
            "posterior": self.options["posterior"],
            "output": "mean",
            "input_bits": bits,
            "temperature": temperature,
        }

    def encode_semantic(self, images: Tensor) -> Semantic:
        images = images.to(self.device)
        infer = _mean if self.options["posterior"] == "mean" else _Drawn(images)
        return self.model.encode(to_bits(images, self.model.configuration.bits), infer)

    def logits(self, code: Code) -> Tensor:
        """Of the distribution of the images' values (networks/logistic_mixture.py): N x 100 x S x S."""
        return self.model.logits(self._groups(code))

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """The mean of that distribution."""
        return self.model.decode(self._groups(code))

    def _groups(self, code: Code) -> tuple[Tensor, ...]:
        groups = several(code.semantic, "z of all groups")
        wanted = self.model.configuration.latent_shapes()
        if len(groups) != len(wanted):
            raise UserError(f"{self.source}: a code has {len(wanted)} groups, not {len(groups)}")
        for i, (z, shape) in enumerate(zip(groups, wanted, strict=True)):
            if tuple(z.shape) != (len(groups[0]), *shape):
                raise UserError(
                    f"{self.source}: z of group {i} is N x {in_words(shape)}, not {in_words(z.shape)}"
                )
        return tuple(z.to(self.device) for z in groups)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Semantic:
        """z of every group from its prior, with the batch norms' statistics as they are stored."""
        temperature = float(self.options["temperature"])

        def choose(i: int, prior: Gaussian) -> Tensor:
            eps = noise.normal(seed, f"nvae z {i}", indices, prior.mean.shape[1:])
            return prior.mean + temperature * prior.sigma * eps.to(prior.mean)

        return self.model.sample(len(indices), choose)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return self.decode(Code(self.sample_latents(indices, seed, steps)))

    def networks(self) -> dict[str, nn.Module]:
        return {"NVAE": self.model}


def _mean(i: int, posterior: Gaussian, prior: Gaussian) -> Tensor:
    return posterior.mean


class _Drawn:
    """z drawn from its posterior, with noise that belongs to the image: its generator's key is a digest of the image's grey
    levels. A system is given images without their indices, and results must not depend on batches."""

    def __init__(self, images: Tensor):
        levels = grey_levels(images).to("cpu", torch.uint8).numpy()
        self.digests = [hashlib.sha256(one.tobytes()).hexdigest() for one in levels]

    def __call__(self, i: int, posterior: Gaussian, prior: Gaussian) -> Tensor:
        shape = posterior.mean.shape[1:]
        eps = [
            noise.normals(noise.generator(0, f"nvae posterior {digest}", i), shape)
            for digest in self.digests
        ]
        drawn = torch.stack(eps) if eps else torch.zeros(0, *shape)
        return posterior.mean + posterior.sigma * drawn.to(posterior.mean)


# ----------------------------------------------------------------------------------------------
# Reading


def empty(config: NVAEConfig) -> NVAE:
    """The network without memory for its weights: those of a file come in their place."""
    with torch.device("meta"):
        return NVAE(config)


def _of_folder(path: Path) -> tuple[NVAE, str]:
    model = empty(folder.read_config(path, "nvae", NVAEConfig))
    folder.read_weights(model, path)
    return model, folder.fingerprint(path)


def _of_file(path: Path) -> tuple[NVAE, str]:
    """The model of a file of NVlabs', and the file's digest."""
    with containers.opened(path) as file:
        content = containers.entries(file.content)
        named = containers.entries(content.get("state_dict"))
        state = {name.removeprefix("module."): tensor for name, tensor in named.items()}
        if "prior_ftr0" not in state:
            containers.refuse_other_kind(
                file.content, path, "nvae", KIND, "a state_dict with prior_ftr0"
            )
        arguments = content.get("args")
        if not isinstance(arguments, Arguments):
            raise UserError(
                f"{path}: has no args, the arguments of its training, without which its network is unknown"
            )
        stored = containers.tensors_of(state, path)
        config = read_arguments(arguments.values, tuple(stored["prior_ftr0"].shape), path)
        if config.cells > len(stored):
            raise UserError(
                f"{path}: its args ask for {config.cells:,} cells, and it has {len(stored):,} tensors"
            )
        # A convolution without weight norm is there twice, under a second name.
        tensors = containers.take(file, stored, leave=lambda n: n.endswith(".weight_normalized"))
    model = empty(config)
    containers.give(model, tensors, path)
    return model, containers.sha256(path)
