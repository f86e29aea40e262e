"""Files of VQ-VAE-2 and VQ-GAN, with the weights that the parity files' recipe gives them."""

from pathlib import Path

import numpy as np
import torch
from official_files import fill

SYSTEMS = Path(__file__).parents[1] / "data" / "systems"


def parity(name: str) -> dict[str, torch.Tensor]:
    """What the authors' code gave, by name."""
    with np.load(SYSTEMS / f"{name}.npz") as file:
        return {key: torch.from_numpy(file[key]) for key in file}


def state(keys: str) -> dict[str, torch.Tensor]:
    """Every tensor of a list of names and shapes, filled by the recipe."""
    found = {}
    for line in (SYSTEMS / f"{keys}.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, shape, _ = line.split("\t")
            found[name] = fill(name, [int(n) for n in shape.strip("(),").split(",") if n])
    return found


def vqvae2(path: Path, **changed: torch.Tensor) -> Path:
    """`vqvae_560.pt` as torch of 2020 wrote it."""
    torch.save(state("keys_vqvae2") | changed, path, _use_new_zipfile_serialization=False)
    return path
