"""Codes by optimisation: what `encode` is to a generator that has no encoder."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.systems.networks.stylegan2 import Mapping

SAMPLES, SEED = 10_000, 123  # of the average w, as NVIDIA's projector draws them


class Statistics(NamedTuple):
    """Of w over many z: the mean [w_dim], and the root of the mean squared distance from it."""

    average: Tensor
    spread: float


@torch.no_grad()
def statistics(mapping: Mapping) -> Statistics:
    """Of w = mapping(z) for the z that the projector of stylegan2-ada-pytorch draws."""
    z = np.random.RandomState(SEED).randn(SAMPLES, mapping.z_dim)
    w = mapping(torch.from_numpy(z).to(mapping.w_avg)).double()
    average = w.mean(0)
    spread = ((w - average).square().sum() / SAMPLES).sqrt()
    return Statistics(average.to(mapping.w_avg), float(spread))
