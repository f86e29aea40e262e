"""Run a command, from its options to its folder."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffae.data import open_for_model
from diffae.images import commands, marks, output, reading
from diffae.images.classifier import Classifier, codes_of, learn_from_two
from diffae.images.classifier import learn as learn_classifier
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, empty_folder, never, refuse_outputs, writing
from diffae.system.whole import whole_folder
from probes import auroc


def _load(args: Namespace) -> DiffusionAutoencoder:
    """The model of --ckpt."""
    return DiffusionAutoencoder.from_pretrained(args.ckpt, args.device or cli.default_device())


def make(args: Namespace) -> dict[str, Any]:
    """Make the folder of a command, and return what is in it.

    Raises UserError, and then leaves nothing.
    """
    inputs = [*getattr(args, "pictures", ()), getattr(args, "classifier", None)]
    refuse_outputs([OutputPath("--out", args.out, empty_folder)], inputs)
    model = _load(args)
    settings = {"verb": args.verb, "checkpoint": Path(args.ckpt).name}
    settings |= {"checkpoint_sha256": model.fingerprint, "image_size": model.image_size}
    settings |= commands.decoding(args)
    with writing(args.out, "or choose another --out"), whole_folder(args.out) as folder:
        page = output.Output(folder, settings)
        commands.MAKERS[args.verb](args, model, page)
    for line in page.notices:
        cli.say(line)
    return {
        "verb": args.verb,
        "out": str(args.out),
        "sheet": str(args.out / output.SHEET),
        "settings": settings,
        "digital_source_type": marks.EDITED if page.edited else marks.GENERATED,
        "files": [{**file, "file": str(args.out / file["file"])} for file in page.files],
    }


def learn(args: Namespace) -> dict[str, Any]:
    """Write a classifier, and return its scores on the test images of --data.

    It may be written beside the checkpoint, which is not among the inputs.
    """
    refuse_outputs([OutputPath("--out", args.out, never)], [args.data, args.having, args.lacking])
    model = _load(args)
    learnt = _from_folders if args.data is None else _from_labels
    classifier, scores, tested = learnt(args, model)
    classifier.save(args.out)
    return {
        "verb": "learn",
        "out": str(args.out),
        "attributes": list(classifier.names),
        "made": classifier.made,
        "checkpoint_sha256": classifier.checkpoint,
        "test_images": tested,
        "auroc": scores,
    }


Learnt = tuple[Classifier, dict[str, float], int]  # with AUROC by attribute on so many test images


def _from_folders(args: Namespace, model: DiffusionAutoencoder) -> Learnt:
    def codes(folder: Path) -> Tensor:
        images = reading.read(folder, model.image_size, align=args.align).to(model.device)
        return torch.cat([model.encode(batch) for batch in images.split(commands.AT_ONCE)])

    name = args.having.resolve().name
    return learn_from_two(model, codes(args.having), codes(args.lacking), name), {}, 0


def _from_labels(args: Namespace, model: DiffusionAutoencoder) -> Learnt:
    data = open_for_model(args.data, model.image_size)
    if not data.labelled or not data.attribute_names:
        form = "their form: `diffae-bench docs data`"
        raise UserError(f"--data {args.data}: has no attributes ({form})")
    train, test = data.indices("train"), data.indices("test")
    if not len(train):
        raise UserError(f"--data {args.data}: no images in its split train")
    names = data.attribute_names
    classifier = learn_classifier(model, codes_of(model, data, train), data.labels(train), names)
    logits = classifier.logits(codes_of(model, data, test)).numpy()
    scores = {}
    for name, column, labels in zip(names, logits.T, data.labels(test).T, strict=True):
        score = auroc(column, labels)
        if not np.isnan(score):
            scores[name] = round(score, 4)
    return classifier, scores, len(test)


def summary(result: dict[str, Any]) -> str:
    """The result in one line of text."""
    if result["verb"] != "learn":
        return f"{result['out']} is made; look at {result['sheet']}"
    line = f"{result['out']}: learnt from {result['made']}"
    if not result["auroc"]:
        return line
    mean = np.mean(list(result["auroc"].values()))
    return f"{line}, mean AUROC {mean:.3f} on {result['test_images']:,} test images"
