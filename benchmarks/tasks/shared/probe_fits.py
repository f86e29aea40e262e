"""Linear probes of a semantic code.

They are fitted once for all benchmarks that read or move codes with them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.core.images import Chosen, Selection, features_of
from benchmarks.plugin import Arrays, Context, Count, Job, NotAvailable, System
from benchmarks.runtime.digest import digest
from probes import LinearProbe, fit_adam_paper, fit_best, fit_best_softmax, is_exclusive
from probes.linear import GRID

Rows = NDArray[np.bool_] | slice
ALL = slice(None)
BINARY = f"joint L-BFGS, C of {GRID} by validation"
SOFTMAX = f"softmax of all classes, L-BFGS, C of {GRID} by top-1 accuracy of validation"
FEWEST = 2  # people on each side of an attribute that is chosen by its prevalence
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


def features(context: Context, system: System) -> list[Job]:
    """What the probes read of the codes of training, validation and test images."""
    return [context.codes.features(system, images) for images in selections(context)]


def fit(context: Context, system: System, exclusive: bool = False) -> Job:
    """The probe of a system's semantic code, with the C that scores best on the validation split.

    Of exclusive classes one for all (`SOFTMAX`), else one for each attribute (`BINARY`).
    """
    train, valid, _ = selections(context)
    best, learner = (fit_best_softmax, "softmax, L-BFGS") if exclusive else (fit_best, "L-BFGS")
    labels, valid_labels = (torch.from_numpy(images.labels) for images in (train, valid))

    def fitted(features: Tensor, valid_features: Tensor) -> LinearProbe:
        try:
            return best(features, labels, valid_features, valid_labels, grid=GRID)[0]
        except ValueError as error:
            raise NotAvailable(f"{context.dataset.name}: {error}") from None

    title, takes = f"fit: {learner}, C of {len(GRID)} values", features(context, system)[:2]
    decided_by = [train.labels, valid.labels]
    return fit_job(title, {"probe": learner, "grid": GRID}, takes, decided_by, fitted)


def fit_adam(context: Context, system: System, rows: Rows = ALL) -> Job:
    """The paper's classifier of a system's semantic code, which also edits images; fitted to some `rows`
    of the training images.
    """
    train = selections(context)[0]
    labels = torch.from_numpy(train.labels[rows])

    def fitted(features: Tensor) -> LinearProbe:
        return fit_adam_paper(features[rows], labels, seed=context.seed)

    title, takes = "fit: Adam, 9,375 steps of 32", features(context, system)[:1]
    decided_by = [train.labels, rows] if isinstance(rows, np.ndarray) else [train.labels]
    return fit_job(title, {"probe": ADAM, "seed": context.seed}, takes, decided_by, fitted)


def fit_job(
    title: str,
    settings: Mapping[str, str | int | float | tuple[float, ...] | None],
    takes: Sequence[Job],
    labels: Sequence[NDArray[np.bool_]],
    fitted: Callable[..., LinearProbe],
) -> Job:
    """A fit of `fitted` to features of codes and to labels; `probe_of` reads it."""

    def compute(_: np.ndarray, *arrays: Arrays) -> Arrays:
        probe = fitted(*map(features_of, arrays))
        return {name: tensor.numpy() for name, tensor in asdict(probe).items()}

    decides = {**settings, "labels": [digest(each) for each in labels]}
    return Job("probe", title, decides, None, compute, takes=takes)


def probe_of(arrays: Arrays) -> LinearProbe:
    """The probe among the arrays of a fit."""
    return LinearProbe(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def prevalent(context: Context, fewest: int = FEWEST) -> Iterator[str]:
    """The attributes by prevalence among the test images, the one nearest to a half first; those that at
    least `fewest` people have, and so many have not.
    """
    test = context.select("test", len(context.dataset))
    labels, people = test.labels, test.groups
    for column in np.argsort(np.abs(labels.mean(0) - 0.5), kind="stable"):
        present = labels[:, column]
        if min(len({*people[present == on]}) for on in (True, False)) >= fewest:
            yield context.dataset.attribute_names[column]


def stratified(images: Selection, names: Sequence[str], count: int) -> Selection:
    """`count` of the images, in their order: in turn one of those with and one of those without each of some
    attributes, of as many people as there are.
    """
    if count >= len(images):
        return images
    columns = [images.dataset.attribute_names.index(name) for name in names]
    labels, sides = images.labels[:, columns], list[Iterator[int]]()
    for members in map(np.flatnonzero, np.hstack([labels, ~labels]).T):
        first = np.sort(np.unique(images.groups[members], return_index=True)[1])
        others = np.delete(members, first)
        sides.append(iter([*members[first].tolist(), *others.tolist()]))
    taken = set[int]()
    for side in islice(cycle(sides), count * len(sides)):
        if len(taken) < count:
            taken |= {*islice((image for image in side if image not in taken), 1)}
    return Chosen(images.dataset, images.split, images.order[sorted(taken)], images.seed)


def of_classes(context: Context) -> bool:
    """Whether the attributes are classes, of which every image of the probes has exactly one."""
    return all(is_exclusive(selection.labels) for selection in selections(context))
