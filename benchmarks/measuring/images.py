"""The images of a folder, as `benchmarks.measure` reads them."""

from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffae.data.fingerprint import note_of_files
from diffae.data.readers.folder import find_images
from diffae.data.transforms import decode, decode_plainly
from diffae.system import cli
from diffae.system.errors import UserError

OURS = "diffae"
READINGS = {OURS: decode, "pytorch-fid": decode_plainly}


def names_of(folder: Path, args: Namespace) -> tuple[str, ...]:
    """The images of a folder.

    Reports on stderr which files were left out, and how many images other software reads differently.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    found = find_images(folder)
    for line in found.left_out:
        cli.say(f"warning: {folder}: left out: {line}")
    files = (folder / name for name in found.names)
    if args.reading == OURS and (note := note_of_files(files)):
        cli.say(f"warning: {folder}: {note}; see --reading")
    return found.names


def reading(args: Namespace) -> list[str]:
    """A line on how images are read, if not as for the tables."""
    return [] if args.reading == OURS else [f"images read as by {args.reading}"]


def read(path: Path, args: Namespace) -> Tensor:
    """uint8 3 x H x W, at the image's own size."""
    return torch.from_numpy(np.array(READINGS[args.reading](path))).permute(2, 0, 1)


def batches(images: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Stacks of up to `batch_size` consecutive images of one size, or other tensors of one shape."""
    held: list[Tensor] = []
    for image in images:
        if held and (len(held) == batch_size or image.shape != held[0].shape):
            yield torch.stack(held)
            held = []
        held.append(image)
    if held:
        yield torch.stack(held)
