"""Run a command, from its options to its folder."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diffae.data import Dataset, open_for_model
from diffae.images import commands, output, reading
from diffae.images.classifier import Classifier, codes_of, learn_from_two
from diffae.images.classifier import learn as learn_classifier
from diffae.model import DiffusionAutoencoder
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.system.files import OutputPath, empty_folder, refuse_outputs, writing
from diffae.system.whole import whole_folder
from probes import auroc


def _load(args: Namespace) -> DiffusionAutoencoder:
    """The model of --ckpt."""
    return DiffusionAutoencoder.from_pretrained(args.ckpt, args.device or cli.default_device())


def make(args: Namespace) -> str:
    """Make the folder of a command, and return a line that says where it is.

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
    with writing(args.out, "or choose another --out"), whole_folder(args.out) as folder:
        page = output.Output(folder, settings, edited="pictures" in args)
        commands.MAKERS[args.verb](args, model, page)
    return f"{args.out} is made; look at {args.out / output.SHEET}"


def learn(args: Namespace) -> str:
    """Write a classifier, and return a line with its mean score on the test images of --data.

    The file may be beside the checkpoint, whose folder is therefore not among the inputs.
    """
    refuse_outputs([OutputPath("--out", args.out)], [args.data, args.having, args.lacking])
    model = _load(args)
    if args.data is None:
        classifier, scores = _from_folders(args, model), ""
    else:
        data = _labelled_data(args.data, model.image_size)
        train = data.indices("train")
        codes, labels = codes_of(model, data, train), data.labels(train)
        classifier = learn_classifier(model, codes, labels, data.attribute_names)
        scores = _scores(data, model, classifier)
    classifier.save(args.out)
    return f"{args.out}: learnt from {classifier.made}{scores}"


def _from_folders(args: Namespace, model: DiffusionAutoencoder) -> Classifier:
    def codes(folder: Path) -> Tensor:
        images = reading.read(folder, model.image_size).to(model.device)
        return torch.cat([model.encode(batch) for batch in images.split(commands.AT_ONCE)])

    name = args.having.resolve().name
    return learn_from_two(model, codes(args.having), codes(args.lacking), name)


def _labelled_data(path: Path, image_size: int) -> Dataset:
    data = open_for_model(path, image_size)
    if not data.labelled or not data.attribute_names:
        form = "their form: `diffae-bench docs data`"
        raise UserError(f"--data {path}: has no attributes ({form})")
    if not len(data.indices("train")):
        raise UserError(f"--data {path}: no images in its split train")
    return data


def _scores(data: Dataset, model: DiffusionAutoencoder, classifier: Classifier) -> str:
    """The mean AUROC in words, over the attributes that some test images have and others lack.

    Empty if there are none.
    """
    test = data.indices("test")
    logits = classifier.logits(codes_of(model, data, test)).numpy()
    columns = zip(logits.T, data.labels(test).T, strict=True)
    scores = [auroc(column, labels) for column, labels in columns]
    finite = [score for score in scores if not np.isnan(score)]
    return f", mean AUROC {np.mean(finite):.3f} on {len(test):,} test images" if finite else ""
