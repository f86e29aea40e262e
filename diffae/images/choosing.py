"""Choose the classifier and the edits of a command from its options."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from diffae.checkpoints.packaged import PACKAGED
from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.transforms import Transform
from diffae.images import reading
from diffae.images.classifier import (
    Classifier,
    classifier_of,
    codes_of,
    find_name,
    learn_from_few,
    learn_from_two,
)
from diffae.images.defaults import SHOTS, STRENGTH
from diffae.model import DiffusionAutoencoder
from diffae.system.errors import UserError

LEARNT = "learnt"  # the name of an attribute that has none
FEW_PORTRAITS, PORTRAITS = 2_000, 10_000  # drawn without --data: for a few shots, for `learn`


def classifier(args: Namespace, model: DiffusionAutoencoder, fingerprint: str) -> Classifier:
    """The classifier of the options, or the one beside the checkpoint.

    Options are --classifier, --with and --without, and a few labels (sample-class).
    """
    if args.classifier is not None:
        found = Classifier.load(args.classifier)
        found.check(model, fingerprint, f"--classifier {args.classifier}")
    elif args.having is not None:
        given = args.attribute
        names = [given] if isinstance(given, str) else [name for name, _ in given]
        having, lacking = (_codes(args, model, folder) for folder in (args.having, args.lacking))
        found = learn_from_two(model, having, lacking, names[0] if names else LEARNT)
    elif args.verb == "sample-class":
        found = _of_few(args, model)
    else:
        found = classifier_of(model)
    return found


def _codes(args: Namespace, model: DiffusionAutoencoder, folder: Path) -> torch.Tensor:
    """z_sem [N, d] of a folder's pictures."""
    transform = Transform(model.image_size, getattr(args, "crop", reading.CENTRE))
    found, _ = reading.find([folder])
    landmarks = reading.find_faces(found) if getattr(args, "align", False) else None
    parts = [
        model.encode(reading.to_tensor([one.pixels for one in reads]).to(model.device)).cpu()
        for reads in reading.batches(found, transform, args.batch_size, landmarks)
    ]
    return torch.cat(parts)


def _of_few(args: Namespace, model: DiffusionAutoencoder) -> Classifier:
    """Learn a classifier from --shots labelled images of --data."""
    data = labelled(args, model, FEW_PORTRAITS)
    column = find_name(args.attribute, data.attribute_names)
    indices = data.indices("train")
    labels = data.labels(indices)[:, column] != args.absent
    return learn_from_few(
        model,
        lambda chosen: codes_of(model, data, indices[chosen], args.batch_size),
        labels,
        data.attribute_names[column],
        shots=args.shots or SHOTS,
        unlabelled=args.unlabelled,
        seed=args.seed,
        absent=args.absent,
    )


def labelled(args: Namespace, model: DiffusionAutoencoder, portraits: int) -> Dataset:
    """The data set of --data, which must have attributes; the portraits for the packaged model."""
    if args.data is not None:
        data = open_for_model(args.data, model.image_size)
    elif model.source is not None and model.source.parent == PACKAGED:
        data = open_portraits(portraits, model.image_size)
    else:
        raise UserError(
            "--data: labelled images are needed; or give --with FOLDER and --without FOLDER"
        )
    if not data.labelled or not data.attribute_names:
        raise UserError(
            f"--data {args.data}: has no attributes (`diffae-bench docs data` says how they must look)"
        )
    return data


# ----------------------------------------------------------------------------------------------
# Edits


def strips(
    asked: Sequence[tuple[str, float | None]],
    strength: float | None,
    strip: Sequence[float] | None,
    known: Classifier,
) -> list[dict[str, float]]:
    """The edits to make of each picture: one, or one for each strength of `strip`.

    The strengths of `strip` apply to the attributes that have none of their own.
    """
    named = [(known.names[known.index(name)], own) for name, own in asked]
    doubled = {name for name, _ in named if [n for n, _ in named].count(name) > 1}
    if doubled:
        raise UserError(f"--attribute {min(doubled)}: given twice")
    given = "--strip" if strip else None if strength is None else "--strength"
    if given and all(own is not None for _, own in named):
        raise UserError(
            f"{given}: every attribute has a strength of its own; leave one of them without"
        )
    return [
        {name: float(value if own is None else own) for name, own in named}
        for value in strip or (STRENGTH if strength is None else strength,)
    ]
