"""Run a command, from its options to its folder."""

from argparse import Namespace
from pathlib import Path

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
from diffae.system.files import Json, OutputPath, empty_folder, never, refuse_outputs, writing
from diffae.system.whole import whole_folder
from probes import auroc


def _load(args: Namespace) -> DiffusionAutoencoder:
    """The model of --ckpt."""
    return DiffusionAutoencoder.from_pretrained(args.ckpt, args.device or cli.default_device())


Report = tuple[dict[str, Json], str]  # for --json, and the line that is printed without it


def make(args: Namespace) -> Report:
    """Make the folder of a command, and return a report of its content.

    Raises UserError, and then leaves no folder.
    """
    inputs = [*getattr(args, "pictures", ()), getattr(args, "classifier", None)]
    refuse_outputs([OutputPath("--out", args.out, empty_folder)], inputs)
    model = _load(args)
    settings = {"verb": args.verb, "checkpoint": Path(args.ckpt).name}
    settings |= {"checkpoint_sha256": model.fingerprint, "image_size": model.image_size}
    settings |= commands.decoding(args)
    if "seed" in args:
        settings["seed"] = args.seed
    edited = "pictures" in args
    with writing(args.out, "or choose another --out"), whole_folder(args.out) as folder:
        page = output.Output(folder, settings, edited)
        commands.MAKERS[args.verb](args, model, page)
    out, sheet = str(args.out), str(args.out / output.SHEET)
    report: dict[str, Json] = {
        "verb": args.verb,
        "out": out,
        "sheet": sheet,
        "settings": settings,
        "digital_source_type": marks.EDITED if edited else marks.GENERATED,
        "files": [{**file, "file": f"{args.out / str(file['file'])}"} for file in page.files],
    }
    return report, f"{out} is made; look at {sheet}"


def learn(args: Namespace) -> Report:
    """Write a classifier, and return a report with its scores on the test images of --data.

    The file may be beside the checkpoint, whose folder is therefore not among the inputs.
    """
    refuse_outputs([OutputPath("--out", args.out, never)], [args.data, args.having, args.lacking])
    model = _load(args)
    learnt = _from_folders if args.data is None else _from_labels
    classifier, scores, test_images = learnt(args, model)
    classifier.save(args.out)
    line = f"{args.out}: learnt from {classifier.made}"
    if scores:
        mean = np.mean(list(scores.values()))
        line += f", mean AUROC {mean:.3f} on {test_images:,} test images"
    report: dict[str, Json] = {
        "verb": "learn",
        "out": str(args.out),
        "attributes": list(classifier.names),
        "made": classifier.made,
        "checkpoint_sha256": classifier.checkpoint,
        "test_images": test_images,
        "auroc": scores,
    }
    return report, line


Learnt = tuple[Classifier, dict[str, float], int]  # with the AUROCs and the number of test images


def _from_folders(args: Namespace, model: DiffusionAutoencoder) -> Learnt:
    def codes(folder: Path) -> Tensor:
        images = reading.read(folder, model.image_size).to(model.device)
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
