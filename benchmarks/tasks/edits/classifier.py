"""A classifier of images, which knows no system's code: it sees whether an edit has been effective."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.pixel import resize, seen
from benchmarks.plugin import Arrays, Context, Job
from benchmarks.runtime.digest import digest
from benchmarks.tasks.shared.probe_fits import probe_of
from probes import LinearProbe, fit_lbfgs

SIDE, C = 16, 0.01
NAME = f"logistic regression of the pixels at {SIDE} px, C = {C}, logits over their sd"
PIXELS, SPREAD = "pixels", "spread"  # names of arrays in the store


@dataclass(frozen=True)
class Classifier:
    """A probe of small pixels, and the `spread` of its logits on its training images: nan where it is 0, as
    of one class.
    """

    probe: LinearProbe
    spread: Tensor

    @classmethod
    def of(cls, arrays: Arrays) -> "Classifier":
        """The classifier among the arrays of a `fit`."""
        weights = {name: array for name, array in arrays.items() if name != SPREAD}
        return cls(probe_of(weights), torch.from_numpy(arrays[SPREAD]))

    def sees(self, images: Tensor) -> np.ndarray:
        """The logits of images N x 3 x S x S in [-1, 1], over their spread: float64 N x A."""
        return (self.probe.logits(_small(images)) / self.spread).numpy()


def fit(context: Context, count: int) -> Job:
    """The fit to the first `count` training images; `Classifier.of` reads it."""
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


def _small(images: Tensor) -> Tensor:
    return resize(seen(images), SIDE).flatten(1)
