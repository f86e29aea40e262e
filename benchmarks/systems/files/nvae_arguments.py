"""The arguments of NVlabs' training of an NVAE, as its checkpoints keep them, and the configuration that they say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.systems.networks.nvae import NVAEConfig, groups_per_scale
from diffae.errors import UserError

# What files from before an argument was there mean.
ABSENT = {"ada_groups": False, "min_groups_per_scale": 1, "num_mixture_dec": 10}
# The most of each; the published networks have a tenth of it.
MOST = {
    "num_channels_enc": 1024,
    "num_channels_dec": 1024,
    "num_preprocess_blocks": 4,
    "num_postprocess_blocks": 4,
    "num_preprocess_cells": 64,
    "num_postprocess_cells": 64,
    "num_latent_scales": 8,
    "num_groups_per_scale": 128,
    "min_groups_per_scale": 128,
    "num_latent_per_group": 512,
    "num_cell_per_cond_enc": 64,
    "num_cell_per_cond_dec": 64,
    "num_nf": 64,
    "num_x_bits": 8,
    "num_mixture_dec": 100,
}
MOST_SIDE = 1024  # of the decoder's first map
FEWEST = {"num_nf": 0, "num_channels_enc": 2, "num_channels_dec": 2}  # where it is not 1
OF_TWO_VALUES = ("mnist", "omniglot")  # data whose pixels are on or off, by another distribution


def read_arguments(
    values: Mapping[str, Any], prior_shape: tuple[int, ...], path: Path
) -> NVAEConfig:
    """The configuration; the image's side is told by the shape of the decoder's first map, C x side x side.

    Raises UserError, naming the path, for an argument that is missing or odd, and for a variant that is not supported.
    """
    found = _Arguments(ABSENT | dict(values), path)
    _refuse_variants(found)
    number = {name: found.number(name) for name in MOST}
    if number["num_preprocess_blocks"] != number["num_postprocess_blocks"]:
        raise found.unsupported("other numbers of blocks before and after the hierarchy")
    if number["num_latent_scales"] == number["num_groups_per_scale"] == 1:
        raise found.unsupported("a single group of latents (the plain VAE of that code)")
    if number["num_mixture_dec"] == 1:
        raise found.unsupported("num_mixture_dec 1, a normal distribution")
    if len(prior_shape) != 3 or not 1 <= prior_shape[-1] <= MOST_SIDE:
        raise UserError(f"{path}: prior_ftr0 is {prior_shape}, no map of channels and two sides")
    return _configuration(found, number, prior_shape[-1])


class _Arguments:
    def __init__(self, values: Mapping[str, Any], path: Path):
        self.values, self.path = values, path

    def get(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(
                f"{self.path}: its args have no {name}, without which its network is unknown"
            )
        return self.values[name]

    def number(self, name: str) -> int:
        value = self.get(name)
        fewest = FEWEST.get(name, 1)
        if (
            not isinstance(value, int)
            or isinstance(value, bool)
            or not fewest <= value <= MOST[name]
        ):
            raise UserError(
                f"{self.path}: its args say {name} {ascii(value)[:40]}, "
                f"which is no whole number from {fewest} to {MOST[name]}"
            )
        return value

    def switch(self, name: str) -> bool:
        value = self.get(name)
        if value not in (True, False):
            raise UserError(f"{self.path}: its args say {name} {ascii(value)[:40]}, not yes or no")
        return bool(value)

    def unsupported(self, what: str) -> UserError:
        return UserError(f"{self.path}: an NVAE with {what} is not supported")


def _refuse_variants(found: _Arguments) -> None:
    arch, dataset = found.get("arch_instance"), found.get("dataset")
    if arch != "res_mbconv":
        raise found.unsupported(f"arch_instance {ascii(arch)[:40]} (res_mbconv is)")
    if dataset in OF_TWO_VALUES:
        raise found.unsupported(
            f"pixels that are on or off (dataset {dataset}: a Bernoulli output)"
        )


def _configuration(found: _Arguments, number: Mapping[str, int], coarsest: int) -> NVAEConfig:
    scales, blocks = number["num_latent_scales"], number["num_preprocess_blocks"]
    groups = groups_per_scale(
        scales,
        number["num_groups_per_scale"],
        found.switch("ada_groups"),
        number["min_groups_per_scale"],
    )
    return NVAEConfig(
        image_size=coarsest * 2 ** (blocks + scales - 1),
        channels_enc=number["num_channels_enc"],
        channels_dec=number["num_channels_dec"],
        blocks=blocks,
        cells_pre=number["num_preprocess_cells"],
        cells_post=number["num_postprocess_cells"],
        groups=groups,
        latent_channels=number["num_latent_per_group"],
        cells_enc=number["num_cell_per_cond_enc"],
        cells_dec=number["num_cell_per_cond_dec"],
        flows=number["num_nf"],
        bits=number["num_x_bits"],
        mixtures=number["num_mixture_dec"],
        squeeze=found.switch("use_se"),
        residual_posterior=found.switch("res_dist"),
    )
