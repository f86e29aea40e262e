"""Run a command, from its options to its folder."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from diffae.checkpoints.checkpoint import OFFICIAL
from diffae.data import open_for_model
from diffae.images import commands, marks, output
from diffae.images.classifier import codes_of
from diffae.images.classifier import learn as learn_classifier
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import Target, empty_folder, never, refuse_outputs, writing
from diffae.system.whole import whole_folder
from probes import auroc


def _load(args: Namespace) -> DiffusionAutoencoder:
    """The model of --ckpt, after the outputs were checked.

    The checkpoint is not among the inputs: a classifier may be written beside it.
    """
    given = vars(args)
    names = ("classifier", "having", "lacking", "data")
    inputs = [*given.get("pictures", ()), *(given.get(name) for name in names)]
    out = Target("--out", args.out, never if args.verb == "learn" else empty_folder)
    refuse_outputs([out, Target("--save-classifier", given.get("save_classifier"))], inputs)
    return DiffusionAutoencoder.from_pretrained(args.ckpt, args.device or cli.default_device())


def make(args: Namespace) -> dict[str, Any]:
    """Make the folder of a command, and return what is in it.

    Raises UserError, and then leaves nothing.
    """
    model = _load(args)
    if args.verb in ("sample", "sample-class") and model.latent_net is None:
        raise UserError(f"--ckpt {args.ckpt}: has no latent DDIM; give one that has (*_latent)")
    work = commands.Work(args, model)
    settings = {"verb": args.verb, "checkpoint": checkpoint_name(args.ckpt)}
    settings |= {"checkpoint_sha256": model.fingerprint, "image_size": model.image_size}
    settings |= work.decoding
    with writing(args.out, "or choose another --out"), whole_folder(args.out) as folder:
        page = output.Output(folder, settings)
        commands.MAKERS[args.verb](work, page)
    if getattr(args, "save_classifier", None) is not None:
        work.classifier.save(args.save_classifier)
    for line in work.notices:
        cli.say(line)
    return {
        "verb": args.verb,
        "out": str(args.out),
        "sheet": str(args.out / output.SHEET),
        "settings": settings,
        "digital_source_type": marks.VOCABULARY + page.kind,
        "files": [{**file, "file": str(args.out / file["file"])} for file in page.files],
    }


def checkpoint_name(ckpt: str) -> str:
    """The name of a checkpoint for the marks of pictures, without its path on this machine."""
    path = Path(ckpt)
    return path.parent.name if path.name == OFFICIAL and path.parent.name else path.name


def learn(args: Namespace) -> dict[str, Any]:
    """Write the classifier of a checkpoint, and return its scores on the test images."""
    model = _load(args)
    data = open_for_model(args.data, model.image_size)
    if not data.labelled or not data.attribute_names:
        form = "their form: `diffae-bench docs data`"
        raise UserError(f"--data {args.data}: has no attributes ({form})")
    train, test = data.indices("train"), data.indices("test")
    if not len(train):
        raise UserError(f"--data {args.data}: no images in its split train")
    z = codes_of(model, data, train, args.batch_size)
    names = data.attribute_names
    classifier = learn_classifier(model, z, data.labels(train), names, args.seed)
    classifier.save(args.out)
    logits = classifier.logits(codes_of(model, data, test, args.batch_size)).numpy()
    scores = {
        name: round(auroc(logits[:, column], labels), 4)
        for column, (name, labels) in enumerate(zip(names, data.labels(test).T, strict=True))
    }
    return {
        "verb": "learn",
        "out": str(args.out),
        "attributes": list(names),
        "made": classifier.made,
        "checkpoint_sha256": classifier.checkpoint,
        "test_images": len(test),
        "auroc": {name: score for name, score in scores.items() if not np.isnan(score)},
    }


def summary(result: dict[str, Any]) -> str:
    """The result in one line of text."""
    if result["verb"] == "learn":
        line = f"{result['out']}: {len(result['attributes'])} attributes from {result['made']}"
        scores = list(result["auroc"].values())
        if not scores:
            return line
        return f"{line}, mean AUROC {np.mean(scores):.3f} on {result['test_images']:,} test images"
    count = sum(1 for file in result["files"] if file["file"].endswith(".png"))
    return f"{result['out']}: {count} picture{'s' if count != 1 else ''}; look at {result['sheet']}"
