"""A classifier of images, which knows no system's code: it sees whether an edit has been effective."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.metrics.pixel import resize, seen
from benchmarks.plugin import Arrays, Context
from benchmarks.tasks.shared.probe_fits import stored
from probes import fit_lbfgs

SIDE, C = 16, 0.01
NAME = f"logistic regression of the pixels at {SIDE} px, C = {C}, logits over their sd"


def sees(context: Context, count: int) -> Callable[[Tensor], np.ndarray]:
    """The logits that the classifier gives images N x 3 x S x S in [-1, 1], over their standard deviation
    on its training images, the first `count`: float64 N x A; nan where it is 0, as of one class.
    """
    train = context.select("train", count)

    def pixels(images: Tensor) -> Tensor:
        return resize(seen(images), SIDE).flatten(1)

    def compute(positions: np.ndarray) -> Arrays:
        return {"pixels": pixels(train.batch(positions)).numpy()}

    key = context.codes.key("small pixels", None, train) | {"side": SIDE}
    features = torch.from_numpy(context.store.array(key, len(train), compute, "pixels"))
    labels = torch.from_numpy(train.labels)
    data = {"features": features, "labels": labels}
    probe = stored(context, {"classifier": NAME}, data, lambda: fit_lbfgs(features, labels, C=C))
    scale = probe.logits(features).double().std(0)
    scale[scale == 0] = torch.nan
    return lambda images: (probe.logits(pixels(images)) / scale).numpy()
