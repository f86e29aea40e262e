"""Trainings of the tiny preset in this process, and what they leave."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_preset import TINY, pictures
from torch import nn

from diffae.model import DiffusionAutoencoder
from diffae.networks.config import ModelConfig
from diffae.train.presets import Preset
from diffae.train.stages import train
from diffae.train.trainer import TrainingRun


def write_pictures(folder: Path, pixels: np.ndarray) -> Path:
    """A folder of images uint8 N x S x S x 3, called 00.png, 01.png and so on."""
    folder.mkdir(parents=True)
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{i:02d}.png")
    return folder


def trained(
    out: Path, pixels: int | np.ndarray = 8, preset: Preset = TINY, callbacks: Sequence = ()
) -> Path:
    """The folder of a training on images in memory; a number is of images of noise."""
    out.mkdir(exist_ok=True)
    images = pictures(pixels) if isinstance(pixels, int) else pixels
    train(preset, images, out, TrainingRun(0, "me", callbacks=callbacks), "cpu")
    return out


def untrained(folder: Path, config: ModelConfig) -> Path:
    """The folder of a checkpoint with random weights, none of them zero."""
    torch.manual_seed(0)
    model = DiffusionAutoencoder(config)
    for weight in model.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.05)
    model.save_pretrained(folder)
    return folder


def words(preset: str, data: object, out: object, *more: object) -> list[str]:
    """The arguments of `python -m diffae.train`: in float32, without sheets."""
    common = ("--precision", "float32", "--device", "cpu", "--sheet-every", "0")
    return [str(word) for word in (preset, "--data", data, "--out", out, *common, *more)]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
