"""The arguments of NVlabs' training of an NVAE, as its checkpoints keep them, as a configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.systems.nvae.network import NVAEConfig, groups_per_scale
from diffae.system.errors import UserError

# Defaults for files from before an argument existed.
ABSENT = {"ada_groups": False, "min_groups_per_scale": 1, "num_mixture_dec": 10}
MOST, MOST_SCALES = (
    1024,
    12,
)  # of any number, and of halvings of the side; the published networks have a tenth and a half
OF_TWO_VALUES = ("mnist", "omniglot")  # data whose pixels are on or off, by another distribution


def read_arguments(
    values: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path
) -> NVAEConfig:
    """Read the configuration; the image's side follows from the decoder's first map, C x side x side.

    Raises UserError, naming the path, for an argument that is missing or malformed, for an
    unsupported variant, and for a network of more cells than there are `tensors`.
    """
    found = _Arguments(ABSENT | dict(values), path)
    if (arch := found.get("arch_instance")) != "res_mbconv":
        raise found.unsupported(f"arch_instance {ascii(arch)[:40]} (res_mbconv is)")
    if (dataset := found.get("dataset")) in OF_TWO_VALUES:
        raise found.unsupported(
            f"pixels that are on or off (dataset {dataset}: a Bernoulli output)"
        )
    scales, blocks = found.number("num_latent_scales"), found.number("num_preprocess_blocks")
    finest = found.number("num_groups_per_scale")
    if blocks != found.number("num_postprocess_blocks"):
        raise found.unsupported("other numbers of blocks before and after the hierarchy")
    if scales == finest == 1:
        raise found.unsupported("a single group of latents (the plain VAE of that code)")
    if found.number("num_mixture_dec") == 1:
        raise found.unsupported("num_mixture_dec 1, a normal distribution")
    if blocks + scales > MOST_SCALES:
        raise found.unsupported(f"{blocks} blocks and {scales} scales")
    shape = tuple(tensors["prior_ftr0"].shape)
    if len(shape) != 3 or not 1 <= shape[-1] <= MOST:
        raise UserError(f"{path}: prior_ftr0 is {shape}, no map of channels and two sides")
    config = NVAEConfig(
        image_size=shape[-1] * 2 ** (blocks + scales - 1),
        channels_enc=found.number("num_channels_enc", 2),
        channels_dec=found.number("num_channels_dec", 2),
        blocks=blocks,
        cells_pre=found.number("num_preprocess_cells"),
        cells_post=found.number("num_postprocess_cells"),
        groups=groups_per_scale(
            scales, finest, found.switch("ada_groups"), found.number("min_groups_per_scale")
        ),
        latent_channels=found.number("num_latent_per_group"),
        cells_enc=found.number("num_cell_per_cond_enc"),
        cells_dec=found.number("num_cell_per_cond_dec"),
        flows=found.number("num_nf", 0),
        bits=found.number("num_x_bits", most=8),
        mixtures=found.number("num_mixture_dec"),
        squeeze=found.switch("use_se"),
        residual_posterior=found.switch("res_dist"),
    )
    if config.cells > len(tensors):
        raise UserError(
            f"{path}: its args ask for {config.cells:,} cells, and it has {len(tensors):,} tensors"
        )
    return config


class _Arguments:
    def __init__(self, values: Mapping[str, Any], path: Path):
        self.values, self.path = values, path

    def get(self, name: str) -> Any:
        if name not in self.values:
            raise UserError(
                f"{self.path}: its args have no {name}, without which its network is unknown"
            )
        return self.values[name]

    def number(self, name: str, fewest: int = 1, most: int = MOST) -> int:
        value = self.get(name)
        if type(value) is not int or not fewest <= value <= most:
            raise UserError(
                f"{self.path}: its args say {name} {ascii(value)[:40]}, "
                f"which is no whole number from {fewest} to {most}"
            )
        return value

    def switch(self, name: str) -> bool:
        value = self.get(name)
        if value not in (True, False):
            raise UserError(f"{self.path}: its args say {name} {ascii(value)[:40]}, not yes or no")
        return bool(value)

    def unsupported(self, what: str) -> UserError:
        return UserError(f"{self.path}: an NVAE with {what} is not supported")
