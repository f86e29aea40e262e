"""Tiny files of StyleGAN2 in its three containers, for the target `stylegan2`."""

import sys
import tempfile
from functools import cache
from pathlib import Path

import torch

from benchmarks.systems.shared import containers
from benchmarks.systems.stylegan2 import files
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config

TINY = StyleGAN2Config((1, 1), z_dim=2, w_dim=2, mapping_layers=1, mapping_width=2)


@cache
def whole() -> list[bytes]:
    helpers = str(Path(__file__).parents[1] / "helpers")
    if helpers not in sys.path:  # where pytest is not, nobody else has added it
        sys.path.append(helpers)
    import stylegan2_imitations as imitations

    torch.manual_seed(0)
    state = Generator(TINY).state_dict()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        return [
            imitations.write_rosinality(path, state).read_bytes(),
            imitations.write_pytorch(path, state, {"c_dim": 0}).read_bytes(),
            imitations.write_tensorflow(path, state, {"resolution": 8}).read_bytes(),
        ]


def read(folder: Path, content: bytes) -> None:
    path = folder / "file"
    path.write_bytes(content)
    found = files.read(path)
    generator = Generator(found.config)
    containers.give(generator, found.state, path)
    w = torch.zeros(1, generator.config.num_ws, generator.config.w_dim)
    image = generator.synthesis(w, generator.synthesis.noise_maps())
    assert image.shape == (1, 3, generator.config.image_size, generator.config.image_size)
