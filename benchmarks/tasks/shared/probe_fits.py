"""Linear probes of a semantic code.

They are fitted once for all benchmarks that read or move codes with them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.metrics.codes.probes import MEAN, WEIGHTED
from benchmarks.plugin import Arrays, Calls, Context, Count, NotAvailable, Selection, System, Work
from benchmarks.runtime.digest import digest
from probes import LinearProbe, fit_adam_paper, fit_best, fit_best_softmax, is_exclusive
from probes.linear import GRID

Fit = Callable[[], LinearProbe]
ProbeSettings = Mapping[str, str | int | float | tuple[float, ...] | None]  # what decides a fit
Rows = NDArray[np.bool_] | slice
ALL = slice(None)
BINARY = f"joint L-BFGS, C of {GRID} by validation"
SOFTMAX = f"softmax of all classes, L-BFGS, C of {GRID} by top-1 accuracy of validation"
ADAM = "Adam 1e-3, batch 32, 9375 steps (the authors', without their flips)"


@dataclass(frozen=True)
class Sizes:
    """
    train        images that the classifiers are fitted on
    valid        images that the regularisation is chosen on
    test         images that they are scored on
    adam_paper   also train the probe as the authors did (Adam, 9,375 steps)
    """

    train: Count = 6_000
    valid: Count = 500
    test: Count = 1_500
    adam_paper: bool = False


def selections(context: Context) -> tuple[Selection, Selection, Selection]:
    """Training, validation and test images of the probes."""
    sizes = context.sizes(Sizes)
    train = context.select("train", sizes.train)
    valid = context.select("valid", sizes.valid)
    test = context.select("test", sizes.test)
    for split in (train, valid, test):
        if not len(split):
            raise NotAvailable(f"{context.dataset.name} has no images in its {split.split} split")
    return train, valid, test


def counts_of_splits(context: Context) -> dict[str, int]:
    """The numbers of training, validation and test images, as fields of a protocol."""
    return {f"n_{images.split}": len(images) for images in selections(context)}


def fit(context: Context, system: System, exclusive: bool = False) -> LinearProbe:
    """The probe of a system's semantic code, with the C that scores best on the validation split.

    Of exclusive classes one for all (`SOFTMAX`), else one for each attribute (`BINARY`).
    """
    train, valid, _ = selections(context)
    best, learner = (fit_best_softmax, "softmax, L-BFGS") if exclusive else (fit_best, "L-BFGS")
    features, valid_features = (context.codes.features(system, part) for part in (train, valid))
    labels, valid_labels = (torch.from_numpy(part.labels) for part in (train, valid))
    data = {"features": features, "labels": labels}
    data |= {"valid_features": valid_features, "valid_labels": valid_labels}
    settings: ProbeSettings = {"probe": learner, "grid": GRID}
    try:
        return stored(context, settings, data, lambda: best(**data, grid=GRID)[0])
    except ValueError as error:
        raise NotAvailable(f"{context.dataset.name}: {error}") from None


def fit_adam(context: Context, system: System, rows: Rows = ALL) -> LinearProbe:
    """The paper's classifier of a system's semantic code, which also edits images; fitted to some `rows`
    of the training images.
    """
    train = selections(context)[0]
    settings: ProbeSettings = {"probe": ADAM, "seed": context.seed}
    features = context.codes.features(system, train)[rows]
    labels = torch.from_numpy(train.labels[rows])
    data = {"features": features, "labels": labels}
    fitted = partial(fit_adam_paper, features, labels, seed=context.seed)
    return stored(context, settings, data, fitted)


def stored(
    context: Context, settings: ProbeSettings, data: Mapping[str, Tensor], fitted: Fit
) -> LinearProbe:
    """A fit from the store, under its settings and the data that it was made from."""

    def arrays(probe: LinearProbe) -> Arrays:
        return {name: tensor.numpy() for name, tensor in asdict(probe).items()}

    key = {"work": "probe", **settings}
    key |= {name: digest(tensor.numpy()) for name, tensor in data.items()}
    unfitted = LinearProbe.unfitted(data["features"].shape[1], data["labels"].shape[1])
    kept = context.store.once(key, lambda: arrays(fitted()), lambda: arrays(unfitted))
    return LinearProbe(**{name: torch.from_numpy(array) for name, array in kept.items()})


def fits(context: Context, adam: bool, regressions: bool = True) -> Iterator[Work]:
    """The fits of probes, for a dry run."""
    train, names = len(selections(context)[0]), context.dataset.attribute_names
    means = f"{len(names)} attributes, {MEAN} and {WEIGHTED}"
    if regressions:
        work = f"fit: joint L-BFGS, C of {len(GRID)} values; {means}"
        yield Work(work, train, Calls(), shared=work)
        if of_classes(context):
            yield Work("fit: softmax, L-BFGS; top-1 accuracy", train, Calls())
    if adam:
        work = f"fit: Adam, 9,375 steps of 32; {means}"
        yield Work(work, train, Calls(), shared=work)


def of_classes(context: Context) -> bool:
    """Whether the attributes are classes, of which every image of the probes has exactly one."""
    return all(is_exclusive(selection.labels) for selection in selections(context))
