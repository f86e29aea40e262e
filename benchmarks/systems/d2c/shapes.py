"""The configuration of a D2C, read from the names and shapes of its tensors.

The file has no other record of it.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from benchmarks.systems.d2c.ddim_unet import GROUPS
from benchmarks.systems.d2c.network import D2CConfig
from benchmarks.systems.shared import containers
from diffae.system.errors import UserError

BITS = 5  # of the input, in every published configuration
ATTENTION_SIDE = 16  # the DDIM attends to maps of this side, likewise
MOST_SCALES = 10


def read_configuration(tensors: Mapping[str, Tensor], path: Path) -> D2CConfig:
    """Read the configuration.

    Raises UserError, naming the path, if the tensors are not those of a D2C, or of an unsupported
    one.
    """
    reader = _Reader(tensors, path)
    pre, enc, dec, post = (
        reader.tower(f"autoencoder.{name}")
        for name in ("pre_process", "enc_tower", "dec_tower", "post_process")
    )
    head = reader.sides("autoencoder.image_conditional.1.weight")
    if head[0] % 10:
        raise reader.unsupported(f"an output of {head[0]} channels, not ten a component")
    if len(pre) != len(post) or len(enc) != len(dec) or pre[-1] or post[0]:
        raise reader.unsupported("another number of scales on the way up than on the way down")
    channels = reader.sides("autoencoder.stem.weight")[0]
    if channels < 2:
        raise reader.unsupported("a single channel")
    return D2CConfig(
        channels=channels,
        pre=pre[:-1],
        enc=enc,
        dec=dec,
        post=post[1:],
        latent_channels=reader.sides("autoencoder.enc_sampler.weight")[0],
        mixtures=head[0] // 10,
        squeeze=any(".se.se." in name for name in tensors),
        bits=BITS,
        **_of_unet(reader),
    )


def _of_unet(reader: "_Reader") -> dict[str, Any]:
    """The fields of the configuration that belong to the DDIM."""
    channels = reader.sides("diffusion.conv_in.weight")[0]
    if channels % GROUPS:
        raise reader.unsupported(f"a DDIM of {channels} channels, no multiple of {GROUPS}")
    levels = reader.numbers(r"diffusion\.down\.(\d{1,3})\.block\.")
    if not 1 <= len(levels) <= MOST_SCALES:
        raise reader.unsupported(f"a DDIM of {len(levels)} levels")
    of_level = [reader.sides(f"diffusion.down.{i}.block.0.conv1.weight")[0] for i in levels]
    if any(width % channels for width in of_level):
        raise reader.unsupported(f"a DDIM of widths {of_level}, no multiples of {channels}")
    attends = [f"diffusion.down.{i}.attn.0.q.weight" in reader.tensors for i in levels]
    if True not in attends:
        raise reader.unsupported("a DDIM without attention, which does not tell its side")
    return {
        "latent_side": ATTENTION_SIDE * 2 ** attends.index(True),
        "unet_channels": channels,
        "unet_mult": tuple(width // channels for width in of_level),
        "unet_blocks": len(reader.numbers(r"diffusion\.down\.0\.block\.(\d{1,3})\.")),
        "unet_attends": tuple(map(int, attends)),
    }


class _Reader:
    def __init__(self, tensors: Mapping[str, Tensor], path: Path):
        self.tensors, self.path = tensors, path

    def sides(self, name: str) -> tuple[int, ...]:
        """The shape of a kernel."""
        return containers.shape_of(self.tensors, name, 4, self.path, "a D2C of the authors'")

    def numbers(self, pattern: str) -> list[int]:
        """The numbers that match the pattern's group among the names, in order."""
        found = (re.match(pattern, name) for name in self.tensors)
        return sorted({int(match[1]) for match in found if match})

    def tower(self, prefix: str) -> tuple[int, ...]:
        """The numbers of ordinary cells before, between and after the cells that change the side."""
        prefix = re.escape(prefix)
        cells = self.numbers(rf"{prefix}\.(\d{{1,5}})\.")
        changing = set(self.numbers(rf"{prefix}\.(\d{{1,5}})\.skip\."))
        if len(changing) > MOST_SCALES:
            raise self.unsupported(f"{len(changing)} changes of side in a row")
        return _runs(cell in changing for cell in cells)

    def unsupported(self, what: str) -> UserError:
        return UserError(f"{self.path}: a D2C with {what} is not supported")


def _runs(marks: Iterable[bool]) -> tuple[int, ...]:
    """The numbers of entries before, between and after marked ones."""
    counts = [0]
    for mark in marks:
        if mark:
            counts.append(0)
        else:
            counts[-1] += 1
    return tuple(counts)
