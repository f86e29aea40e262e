"""Which classifier a command uses and what it changes, from its options."""

import re
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.transforms import Transform
from diffae.errors import UserError
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
from diffae.packaged import PACKAGED

LEARNT = "learnt"  # the name of an attribute that has none
FEW_PORTRAITS, PORTRAITS = (
    2_000,
    10_000,
)  # drawn where no data is given: for a few shots, for `learn`


def classifier(args: Namespace, model: DiffusionAutoencoder, fingerprint: str) -> Classifier:
    """The one of --classifier, of --with and --without, of a few labels (sample-class), or beside the checkpoint."""
    if args.classifier is not None:
        found = Classifier.load(args.classifier)
        found.check(model, fingerprint, f"--classifier {args.classifier}")
    elif args.having is not None:
        found = _of_folders(args, model)
    elif args.verb == "sample-class":
        found = _of_few(args, model)
    else:
        found = classifier_of(model)
    return found


def _of_folders(args: Namespace, model: DiffusionAutoencoder) -> Classifier:
    """Of --with FOLDER and --without FOLDER."""
    names = [args.attribute] if isinstance(args.attribute, str) else [n for n, _ in args.attribute]
    having, lacking = (_codes(args, model, folder) for folder in (args.having, args.lacking))
    return learn_from_two(model, having, lacking, names[0] if names else LEARNT)


def _codes(args: Namespace, model: DiffusionAutoencoder, folder: Path) -> torch.Tensor:
    """z_sem [N, d] of a folder's pictures."""
    transform = Transform(model.image_size, getattr(args, "crop", reading.CENTRE))
    parts = [
        model.encode(reading.to_tensor([one.pixels for one in reads]).to(model.device)).cpu()
        for reads in reading.batches(reading.find([folder]), transform, args.batch_size)
    ]
    return torch.cat(parts)


def _of_few(args: Namespace, model: DiffusionAutoencoder) -> Classifier:
    """Of --shots labelled images of --data."""
    data = labelled(args, model, FEW_PORTRAITS)
    column = find_name(args.attribute, data.attribute_names)
    indices = data.indices("train")
    assert data.attributes is not None
    labels = data.attributes[indices, column] != args.absent
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
    """--data, which must have attributes; the portraits for the packaged model."""
    if args.data is not None:
        data = open_for_model(args.data, model.image_size)
    elif model.source is not None and model.source.parent == PACKAGED:
        data = open_portraits(portraits, model.image_size)
    else:
        raise UserError(
            "--data: labelled images are needed; or give --with FOLDER and --without FOLDER"
        )
    if data.attributes is None or not data.attribute_names:
        raise UserError(
            f"--data {args.data}: has no attributes (`diffae-bench docs data` says how they must look)"
        )
    return data


def refuse_without_latents(model: DiffusionAutoencoder, args: Namespace) -> None:
    """UserError for a checkpoint that cannot draw new z_sem."""
    if model.latent_net is None:
        raise UserError(
            f"--ckpt {args.ckpt}: has no latent DDIM, so there is nothing to sample from; give a checkpoint that has "
            "one (the authors' are called *_latent)"
        )


# ----------------------------------------------------------------------------------------------
# Edits


def strips(
    asked: Sequence[tuple[str, float | None]],
    strength: float | None,
    strip: Sequence[float] | None,
    known: Classifier,
) -> list[dict[str, float]]:
    """The edits to make of each picture: one, or one for each strength of `strip`, which attributes take that have none of
    their own."""
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


def label(change: Mapping[str, float]) -> str:
    """An edit in words, such as "Smiling +0.3, Male -0.2"."""
    return ", ".join(
        f"{name} {value:+g}" if value else f"{name} 0" for name, value in change.items()
    )


def file_part(text: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text.replace(", ", "_").replace(" ", ""))[:80]


def described(known: Classifier) -> str:
    """A classifier in the metadata of what it made."""
    return known.made or "unknown"
