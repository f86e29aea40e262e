"""Waits for the GPU and copies to or from it, of what is repeated for each step or batch.

    PYTHONPATH=.:tests/helpers python -m pretend_gpu waits

prints a JSON object: the name of the work, and its [waits, copies]. Work in steps has those of one
more step, which another number of steps tells.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from pretend_gpu import counts
from small_trainings import small
from tiny_preset import TINY, pictures

from benchmarks.systems.d2c.network import D2C
from benchmarks.systems.diffusion import DiffAESystem
from benchmarks.systems.protocol import checked
from benchmarks.systems.stylegan2 import inversion
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.diffusion.scheme import METHODS, inverting_methods
from diffae.model import DiffusionAutoencoder
from diffae.networks.config import VELOCITY
from diffae.train.images import Images
from diffae.train.stages import image_stages
from diffae.train.step import Training
from diffae.train.types import Steps

GPU, FEW, MORE = torch.device("cuda"), 2, 4  # steps
BATCH = 2
D2C_SIZE = {"channels": 8, "latent_side": 4, "unet_mult": (1, 1), "unet_blocks": 1}
Found = dict[str, tuple[float, float]]


def waits(work: Callable[[], object]) -> tuple[int, int]:
    """Waits and copies of work that was done once before."""
    work()
    return _counted(work)


def of_a_step(work: Callable[[int], object]) -> tuple[float, float]:
    """Waits and copies of a further step of `work`."""
    few, more = waits(lambda: work(FEW)), _counted(lambda: work(MORE))
    return (more[0] - few[0]) / (MORE - FEW), (more[1] - few[1]) / (MORE - FEW)


def _counted(work: Callable[[], object]) -> tuple[int, int]:
    before = counts.totals()
    work()
    after = counts.totals()
    return after[0] - before[0], after[1] - before[1]


def known() -> Found:
    """A copy to the GPU and one back, a number read, a choice by a mask; a copy not waited for."""

    def work() -> None:
        there = torch.ones(2).to(GPU)
        there[there > 0].cpu()
        there[0].item()
        torch.ones(2).to(GPU, non_blocking=True)

    return {"known work": waits(work)}


def model_on_gpu() -> DiffusionAutoencoder:
    """A model that predicts the velocity, which needs the schedule on the GPU."""
    latent = replace(TINY.model.latent, prediction=VELOCITY)
    return DiffusionAutoencoder(replace(TINY.model, prediction=VELOCITY, latent=latent)).to(GPU)


def of_a_batch() -> Found:
    """With the checks of a system."""
    model = model_on_gpu()
    system = checked.build("tiny", lambda path, device: DiffAESystem.from_model(model), None, GPU)
    images = torch.zeros(BATCH, 3, model.image_size, model.image_size)
    code = system.encode(images, FEW)
    return {
        "encode a batch": waits(lambda: system.encode(images, FEW)),
        "decode a batch": waits(lambda: system.decode(code, FEW)),
    }


def of_solvers() -> Found:
    model = model_on_gpu().eval()
    x = torch.zeros(BATCH, 3, model.image_size, model.image_size, device=GPU)
    z = model.encode(x)
    found = {"latent DDIM: a step": of_a_step(partial(model.sample_latents, z))}
    for name in METHODS:
        found[f"{name}: a step of decoding"] = of_a_step(partial(model.decode, z, x, solver=name))
    for name in inverting_methods():
        invert = partial(model.encode_stochastic, x, z, solver=name)
        found[f"{name}: a step of encoding"] = of_a_step(invert)
    return found


def of_d2c() -> Found:
    network = D2C(small("d2c", 32, D2C_SIZE, image_size=16).config).to(GPU).eval()
    z = torch.zeros(BATCH, *network.configuration.latent_shape, device=GPU)
    with torch.no_grad():
        return {"D2C: a step of sampling": of_a_step(lambda steps: network.ddim(z, range(steps)))}


def of_stylegan2() -> Found:
    config = StyleGAN2Config((4, 4, 4, 4), z_dim=4, w_dim=4, mapping_layers=1)
    network = Generator(config).to(GPU).eval().requires_grad_(False)
    start = inversion.statistics(network.mapping)
    ws = start.average.repeat(BATCH, config.num_ws, 1)
    loss = inversion.find_loss(inversion.MSE, GPU)
    make = partial(network.synthesis, ws, network.synthesis.noise_maps())
    images = make()

    def invert(steps: int) -> None:
        inversion.Inversion(network, loss, start, 1, steps)(images)

    return {
        "StyleGAN2: images of a batch": waits(make),
        "StyleGAN2: a step of inversion": of_a_step(invert),
    }


def of_training() -> Found:
    model = DiffusionAutoencoder(TINY.model).to(GPU)
    (stage,) = image_stages(TINY, model, Images(pictures(8), False, "cuda"))
    training = Training(stage.network, stage.schedule, 0, steps=Steps(by_example=True))
    indices = torch.arange(stage.schedule.batch_size)
    return {"a step of training": waits(lambda: training.advance(stage.loss, indices))}


def everything() -> Found:
    parts = (known, of_a_batch, of_solvers, of_d2c, of_stylegan2, of_training)
    return {name: found for part in parts for name, found in part().items()}


if __name__ == "__main__":
    print(json.dumps(everything(), indent=1))
