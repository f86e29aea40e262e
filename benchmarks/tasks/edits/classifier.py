"""A classifier of images, which knows no system's code: it sees whether an edit has been effective."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.pixel import resize, seen
from benchmarks.plugin import Arrays, Context, Job
from benchmarks.runtime.digest import digest
from benchmarks.tasks.shared.probe_fits import probe_of
from probes import fit_lbfgs

SIDE, C = 16, 0.01
NAME = f"logistic regression of the pixels at {SIDE} px, C = {C}, logits over their sd"
PIXELS, SPREAD = "pixels", "spread"  # names of arrays in the store


def fit(context: Context, count: int) -> Job:
    """The classifier by the first `count` training images, and the spread of its logits on them: nan where it
    is 0, as of one class.
    """
    train = context.select("train", count)

    def pixels(positions: np.ndarray) -> Arrays:
        return {PIXELS: _small(train.batch(positions)).numpy()}

    def fitted(_: np.ndarray, arrays: Arrays) -> Arrays:
        features = torch.from_numpy(arrays[PIXELS])
        probe = fit_lbfgs(features, torch.from_numpy(train.labels), C=C)
        spread = probe.logits(features).double().std(0)
        spread[spread == 0] = torch.nan
        return {name: t.numpy() for name, t in (asdict(probe) | {SPREAD: spread}).items()}

    decides = context.codes.decides(None, train) | {"side": SIDE}
    small = Job("small pixels", "pixels of train", decides, len(train), pixels)
    decides = {"classifier": NAME, "labels": digest(train.labels)}
    return Job("classifier", "fit: classifier of images", decides, None, fitted, takes=[small])


def sees(fit: Arrays, images: Tensor) -> np.ndarray:
    """The logits that a `fit` gives images N x 3 x S x S in [-1, 1], over their spread: float64 N x A."""
    weights = {name: array for name, array in fit.items() if name != SPREAD}
    spread = torch.from_numpy(fit[SPREAD])
    return (probe_of(weights).logits(_small(images)) / spread).numpy()


def _small(images: Tensor) -> Tensor:
    return resize(seen(images), SIDE).flatten(1)
