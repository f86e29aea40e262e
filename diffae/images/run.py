"""Run a command, from its options to its folder."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffae.checkpoints.checkpoint import OFFICIAL
from diffae.images import commands, marks, output
from diffae.images.classifier import Classifier, classifier_of, codes_of
from diffae.images.classifier import learn as learn_classifier
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import Target, empty_folder, never, refuse_outputs, writing
from diffae.system.whole import whole_folder
from probes import auroc

PORTRAITS = 10_000  # drawn without --data, for `learn`


def load(args: Namespace) -> DiffusionAutoencoder:
    return DiffusionAutoencoder.from_pretrained(args.ckpt, args.device or cli.default_device())


def _refuse_outputs(args: Namespace) -> None:
    """Check the outputs.

    The checkpoint is not among the inputs: a classifier may be written beside it.
    """
    known = vars(args)
    names = ("landmarks", "classifier", "having", "lacking", "data")
    read = [*known.get("pictures", ()), *map(known.get, names)]
    out = Target("--out", args.out, never if args.verb == "learn" else empty_folder)
    refuse_outputs([out, Target("--save-classifier", known.get("save_classifier"))], read)


def attributes(args: Namespace) -> Sequence[str]:
    """The names that --attribute takes: of --classifier, --data, or the checkpoint's own classifier."""
    if args.classifier is not None:
        return Classifier.load(args.classifier).names
    model = load(args)
    if getattr(args, "data", None) is not None:
        return commands.labelled(args.data, model, commands.FEW_PORTRAITS).attribute_names
    return classifier_of(model).names


def make(args: Namespace) -> dict[str, Any]:
    """Make the folder of a command, and print what is in it.

    Raises UserError, and then leaves nothing.
    """
    _refuse_outputs(args)
    model = load(args)
    if args.verb in ("sample", "sample-class") and model.latent_net is None:
        raise UserError(f"--ckpt {args.ckpt}: has no latent DDIM; give one that has (*_latent)")
    work = commands.Work(args, model)
    settings = {"verb": args.verb, "checkpoint": checkpoint_name(args.ckpt)}
    settings |= {"checkpoint_sha256": model.fingerprint, "image_size": model.image_size}
    settings |= {"enlarged": args.enlarge, **work.way}
    with writing(args.out, "or choose another --out"), whole_folder(args.out) as folder:
        page = output.Output(folder, settings, enlarge=args.enlarge)
        commands.MAKERS[args.verb](work, page)
        refuse_outputs([Target("--out", args.out, empty_folder)], ())  # it may exist by now
    if getattr(args, "save_classifier", None) is not None:
        work.classifier.save(args.save_classifier)
    for line in work.notices:
        cli.say(line)
    files = [{**one, "file": str(args.out / one["file"])} for one in page.files]
    made = {"verb": args.verb, "out": str(args.out), "sheet": str(args.out / output.SHEET)}
    source = {"digital_source_type": marks.VOCABULARY + page.kind}
    return {**made, "settings": settings, **source, "files": files}


def checkpoint_name(ckpt: str) -> str:
    """The name of a checkpoint for the marks of pictures, without its path on this machine."""
    place = Path(ckpt)
    return place.parent.name if place.name == OFFICIAL and place.parent.name else place.name


def learn(args: Namespace) -> dict[str, Any]:
    """Write the classifier of a checkpoint, and print its scores on the test images."""
    _refuse_outputs(args)
    model = load(args)
    data = commands.labelled(args.data, model, PORTRAITS)
    train, test = data.indices("train"), data.indices("test")
    if not len(train):
        raise UserError(f"--data {args.data}: no images in its split train")
    z = codes_of(model, data, train, args.batch_size)
    found = learn_classifier(model, z, data.labels(train), data.attribute_names, args.seed)
    found.save(args.out)
    logits = found.logits(codes_of(model, data, test, args.batch_size)).numpy()
    labels = data.labels(test)
    scores = {name: auroc(logits[:, a], labels[:, a]) for a, name in enumerate(found.names)}
    known = {name: round(score, 4) for name, score in scores.items() if not np.isnan(score)}
    learnt = {"verb": "learn", "out": str(args.out), "attributes": list(found.names)}
    learnt |= {"made": found.made, "checkpoint_sha256": found.checkpoint}
    return {**learnt, "test_images": len(test), "auroc": known}


def summary(result: dict[str, Any]) -> str:
    """The result in one line of text."""
    if result["verb"] == "learn":
        of = f"{result['out']}: {len(result['attributes'])} attributes from {result['made']}"
        scores = list(result["auroc"].values())
        if not scores:
            return of
        return f"{of}, mean AUROC {np.mean(scores):.3f} on {result['test_images']:,} test images"
    count = sum(1 for one in result["files"] if one["file"].endswith(".png"))
    return f"{result['out']}: {count} picture{'s' if count != 1 else ''}; look at {result['sheet']}"
