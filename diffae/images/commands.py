"""The results of each verb of the command: rows of pictures and the texts of the sheet.

The functions are in `verbs`.
"""

import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffae.checkpoints.packaged import is_packaged
from diffae.data import Dataset, open_for_model, open_portraits
from diffae.data.portraits.write import is_of_a_set
from diffae.data.transforms import ALIGNED_CELEBA, Transform
from diffae.images import faces, marks, reading, verbs
from diffae.images.classifier import (
    Classifier,
    classifier_of,
    learn_from_few,
    learn_from_two,
)
from diffae.images.options import SHOTS, STRENGTH, with_strength
from diffae.images.output import Cell, Output, enlarged
from diffae.images.reading import Picture
from diffae.model import DiffusionAutoencoder
from diffae.system.errors import UserError
from diffae.system.progress import shown

SEEN = 128  # pixels a side of an animation, about: browsers blur small ones
INPUT, UNEDITED = "input", "reconstruction"
LEARNT = "learnt"  # the name of an attribute that has none
FEW_PORTRAITS = 2_000  # drawn without --data, for a few shots
KNOWS = (
    "the packaged model knows drawn portraits of {size} px only: x_T keeps a photograph, and what "
    "z_sem describes or changes in it comes back as a drawing; --ckpt takes a model of photographs"
)


class Work:
    """The arguments and the model of a command, its pictures and its classifier."""

    def __init__(self, args: Namespace, model: DiffusionAutoencoder):
        self.args, self.model = args, model
        self.way = {"steps": args.steps, "solver": args.solver}
        paths = getattr(args, "pictures", ())
        self.pictures, self.notices = reading.find(paths) if paths else ([], [])
        if is_packaged(model.source):
            self.notices += _undrawn(self.pictures, model.image_size)
        self.landmarks = self._landmarks() if paths else {}

    def _landmarks(self) -> Mapping[Path, faces.Points]:
        """Five points of each picture that is aligned."""
        args = self.args
        if args.points:
            if len(self.pictures) != 1:
                raise UserError("--points: for one picture; give --landmarks FILE for several")
            return {self.pictures[0]: faces.read_points(args.points, "--points")}
        if args.align:
            count = len(self.pictures)
            return reading.find_faces(shown(self.pictures, "faces", "pictures", count))
        if args.landmarks is None:
            return {}
        known = faces.read_landmarks(args.landmarks)
        missing = [path.name for path in self.pictures if path.name not in known]
        if missing:
            of = f"{len(missing)} of {len(self.pictures)} pictures, first {missing[0]}"
            raise UserError(f"--landmarks {args.landmarks}: has no row for {of}")
        return {path: known[path.name] for path in self.pictures}

    def batches(self) -> Iterator[tuple[list[Picture], Tensor]]:
        """The pictures, `--batch-size` at a time, and as images on the model's device."""
        args, size = self.args, self.model.image_size
        way = (Transform(size, args.crop), args.batch_size, self.landmarks)
        reads = reading.batches(self.pictures, *way)
        cut, small = [], []
        for some in shown(reads, args.verb, "pictures", len(self.pictures), len):
            cut += [(one.path.name, one.size) for one in some if one.was_cut]
            small += [one.path.name for one in some if min(one.size) < size]
            images = reading.to_tensor([one.pixels for one in some])
            yield some, images.to(self.model.device)
        self.notices += _notices(cut, small, size)

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier of the options, or the one beside the checkpoint.

        Options are --classifier, --with and --without, and a few labels (sample-class).
        """
        args, model = self.args, self.model
        if args.classifier is not None:
            found = Classifier.load(args.classifier)
            found.check(model, f"--classifier {args.classifier}")
            return found
        if args.having is not None:
            given = args.attribute
            names = (
                [given] if isinstance(given, str) else [with_strength(text)[0] for text in given]
            )
            having, lacking = map(self._codes, (args.having, args.lacking))
            return learn_from_two(model, having, lacking, names[0] if names else LEARNT)
        return self._of_few() if args.verb == "sample-class" else classifier_of(model)

    def _codes(self, folder: Path) -> Tensor:
        """z_sem [N, d] of a folder's pictures."""
        args, model = self.args, self.model
        crop, align = getattr(args, "crop", reading.CENTRE), getattr(args, "align", False)
        images = reading.read(folder, model.image_size, crop, align=align).split(args.batch_size)
        return torch.cat([model.encode(x.to(model.device)).cpu() for x in images])

    def _of_few(self) -> Classifier:
        """Learn a classifier from --shots labelled images of --data."""
        args, shots = self.args, self.args.shots or SHOTS
        how = {"unlabelled": args.unlabelled, "absent": args.absent, "seed": args.seed}
        data = labelled(args.data, self.model, FEW_PORTRAITS)
        return learn_from_few(self.model, data, args.attribute, shots, batch=args.batch_size, **how)


def _notices(cut: list[tuple[str, tuple[int, int]]], small: list[str], size: int) -> Iterator[str]:
    """Notices on how pictures were read, one line for each kind."""
    if cut:
        name, (width, height) = cut[0]
        first = f"{name} of {width} x {height}"
        which = first if len(cut) == 1 else f"{len(cut)} pictures ({first}, ...)"
        yield f"{which}: cut to the middle square; --align, --landmarks or --points aligns a face"
    if ALIGNED_CELEBA in [size for _, size in cut]:
        yield "pictures of 178 x 218, as CelebA's aligned ones: --crop d2c takes the face, as models of CelebA 64 px have seen it"
    if small:
        which = small[0] if len(small) == 1 else f"{len(small)} pictures"
        yield f"{which}: smaller than the model's {size} px, and enlarged"


def _undrawn(pictures: Sequence[Path], size: int) -> Iterator[str]:
    """A notice on pictures that are neither of a set of portraits nor marked as a model's."""
    if found := [
        path.name for path in pictures if not (is_of_a_set(path) or marks.is_marked(path))
    ]:
        which = found[0] if len(found) == 1 else f"{len(found)} pictures ({found[0]}, ...)"
        yield f"{which}: {KNOWS.format(size=size)}"


def labelled(path: Path | None, model: DiffusionAutoencoder, portraits: int) -> Dataset:
    """The data set of --data, which must have attributes; the portraits for the packaged model."""
    if path is not None:
        data = open_for_model(path, model.image_size)
    elif is_packaged(model.source):
        data = open_portraits(portraits, model.image_size)
    else:
        raise UserError("--data: needs labelled images; or give --with FOLDER and --without FOLDER")
    if not data.labelled or not data.attribute_names:
        raise UserError(f"--data {path}: has no attributes (their form: `diffae-bench docs data`)")
    return data


# ----------------------------------------------------------------------------------------------
# The verbs


# What is added to a picture's name for the file of a result (None: it is on the sheet only), and its settings.
Kind = tuple[str | None, dict[str, Any]]


def add_results(
    work: Work, output: Output, kinds: Sequence[Kind], make: Callable[[Tensor], Iterable[Tensor]]
) -> None:
    """A row for each picture: itself, and a result of each kind; `make` gives a batch of each."""
    for reads, x in work.batches():
        made = [verbs.to_pil(images) for images in make(x)]
        for read, *images in zip(reads, *made, strict=True):
            cells, source = [Cell(read.image)], {"source": read.path.name, "cut": read.cut}
            for image, (name, about) in zip(images, kinds, strict=True):
                file = "" if name is None else f"{read.name}{name}.png"
                cells.append(Cell(image, file, {**source, **about}))
            output.add(cells, read.name)


def reconstruct(work: Work, output: Output) -> None:
    add_results(work, output, [("", {})], lambda x: [verbs.reconstruct(work.model, x, **work.way)])
    output.finish("Reconstructions", "Through both codes and back.", [INPUT, "reconstruction"])


def vary(work: Work, output: Output) -> None:
    count, seed = work.args.count, work.args.seed
    output.settings["seed"] = seed
    kinds: list[Kind] = [(f"-{k}", {"variation": k}) for k in range(1, count + 1)]

    def make(x: Tensor) -> Iterable[Tensor]:
        return verbs.vary(work.model, x, count, seed, **work.way).unbind(1)

    add_results(work, output, kinds, make)
    caption = "What z_sem keeps: the same z_sem, the details (x_T) drawn anew."
    output.finish("Variations", caption, [INPUT, *(f"x_T {k + 1}" for k in range(count))])


def interpolate(work: Work, output: Output) -> None:
    count, number = work.args.count, len(work.pictures)
    if number != 2:
        raise UserError(f"interpolate: two pictures, not the {number} of these folders")
    t = torch.linspace(0, 1, count).tolist()
    (a, x), (b, y) = (pair for batch in work.batches() for pair in zip(*batch, strict=True))
    images = verbs.to_pil(verbs.interpolate(work.model, x[None], y[None], count, **work.way))
    stem, digits = f"{a.name}-{b.name}", len(str(count))
    about = {"source": [a.path.name, b.path.name]}
    cells = [
        Cell(image, f"{stem}-{k + 1:0{digits}}.png", {**about, "t": round(t[k], 6)})
        for k, image in enumerate(images)
    ]
    large = [enlarged(image, max(1, SEEN // image.width)) for image in images]
    output.add_file(f"{stem}.gif", marks.gif(large, {**output.settings, **about}, marks.EDITED))
    strip = Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))
    output.add_png(f"{stem}-strip.png", strip, about)
    output.add([Cell(a.image), *cells, Cell(b.image)])
    caption = f"From {a.name} to {b.name}: z_sem on a line, x_T on a great circle."
    output.finish("Interpolation", caption, [a.name, *(f"{value:.2g}" for value in t), b.name])


def edit(work: Work, output: Output) -> None:
    classifier, plain = work.classifier, not work.args.strip
    edits = _edits(work.args, classifier)
    labels = [label(one) for one in edits]
    output.settings["classifier"] = classifier.made
    named = zip(labels, edits, strict=True)
    kinds: list[Kind] = [(f"-{file_part(words)}", {"edit": change}) for words, change in named]

    def make(x: Tensor) -> Iterator[Tensor]:
        code = verbs.encode(work.model, x, **work.way)
        for one in [*([{}] * plain), *edits]:
            yield verbs.decode(work.model, verbs.moved(code, one, classifier), **work.way)

    add_results(work, output, [*([(None, {})] * plain), *kinds], make)
    caption = "z_sem moved by s sqrt(d) w / |w| along each attribute's classifier, x_T kept."
    if plain:
        caption += f" The {UNEDITED} is decoded from both codes as they are."
    output.finish("Edits", caption, [INPUT, *([UNEDITED] * plain), *labels])


def _edits(args: Namespace, known: Classifier) -> list[dict[str, float]]:
    """The edits to make of each picture: one, or one for each strength of --strip.

    The strengths of --strip apply to the attributes that have none of their own.
    """
    asked = [with_strength(text, known.names) for text in args.attribute or known.names[:1]]
    named = [(known.names[known.index(name)], own) for name, own in asked]
    doubled = {name for name, _ in named if [n for n, _ in named].count(name) > 1}
    if doubled:
        raise UserError(f"--attribute {min(doubled)}: given twice")
    given = "--strip" if args.strip else None if args.strength is None else "--strength"
    if given and all(own is not None for _, own in named):
        raise UserError(f"{given}: every attribute has its own strength; leave one without")
    return [
        {name: float(value if own is None else own) for name, own in named}
        for value in args.strip or (STRENGTH if args.strength is None else args.strength,)
    ]


def label(change: Mapping[str, float]) -> str:
    """An edit in words, such as "Smiling +0.3, Male -0.2"."""
    return ", ".join(f"{name} {by:+g}" if by else f"{name} 0" for name, by in change.items())


def file_part(text: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text.replace(", ", "_").replace(" ", ""))[:80]


def sample(work: Work, output: Output) -> None:
    args = work.args
    output.settings["seed"], output.kind = args.seed, marks.GENERATED

    def cells() -> Iterator[Cell]:
        numbers = range(args.count)
        parts = [numbers[start : start + args.batch_size] for start in numbers[:: args.batch_size]]
        for some in shown(parts, "sample", "pictures", args.count, len):
            made = verbs.sample(work.model, len(some), args.seed, first=some.start, **work.way)
            for number, image in zip(some, verbs.to_pil(made), strict=True):
                yield Cell(image, f"sample-{number:04}.png", {"number": number}, str(number))

    output.add_in_rows(cells())
    output.finish("Samples", f"z_sem from the latent DDIM, x_T from N(0, I), seed {args.seed}.")


def sample_class(work: Work, output: Output) -> None:
    args, classifier = work.args, work.classifier
    name = classifier.names[classifier.index(args.attribute)]
    kind, present = (f"not {name}", False) if args.absent else (name, True)
    wanted = (name, args.count, args.seed, present, args.accept, args.pool)
    found = verbs.sample_class(work.model, classifier, *wanted, **work.way)
    about = {"seed": args.seed, "class": kind, "accept": args.accept, "classifier": classifier.made}
    output.settings |= {**about, "tried": found.tried}
    output.kind = marks.GENERATED
    cells, images = [], verbs.to_pil(found.images)
    for image, number, p in zip(images, found.numbers, found.probability.tolist(), strict=True):
        one = {"number": number, "probability": round(p, 4)}
        cells.append(Cell(image, f"sample-{number:05}.png", one, f"{number}: p {p:.2f}"))
    output.add_in_rows(cells)
    rule = "p > 0.5" if args.accept == "threshold" else "with probability p"
    caption = f"Samples that a classifier takes for {kind} ({rule}); p is its probability. Learnt from {classifier.made}."
    output.finish(f"Samples: {kind}", caption)


_VERBS = (reconstruct, vary, interpolate, edit, sample, sample_class)
MAKERS = {verb.__name__.replace("_", "-"): verb for verb in _VERBS}
