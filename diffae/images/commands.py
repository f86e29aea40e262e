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
from diffae.data.portraits.write import is_of_a_set
from diffae.data.transforms import Transform
from diffae.images import marks, reading, verbs
from diffae.images.classifier import Classifier, classifier_of, learn_from_two
from diffae.images.options import STRENGTH, with_strength
from diffae.images.output import Cell, Output
from diffae.images.reading import Picture
from diffae.model import DiffusionAutoencoder
from diffae.system.errors import UserError
from diffae.system.progress import shown

INPUT, UNEDITED = "input", "reconstruction"
KNOWS = (
    "the packaged model knows drawn portraits of {size} px only: x_T keeps a photograph, and what "
    "z_sem describes or changes in it comes back as a drawing; --ckpt takes a model of photographs"
)


class Work:
    """The arguments and the model of a command, its pictures and its classifier."""

    def __init__(self, args: Namespace, model: DiffusionAutoencoder):
        self.args, self.model = args, model
        self.decoding = {"steps": args.steps, "solver": args.solver}
        self.pictures, self.notices = reading.find(getattr(args, "pictures", ()))
        if is_packaged(model.source):
            photographs = [path.name for path in self.pictures if not _is_drawn(path)]
            self.notice(photographs, KNOWS.format(size=model.image_size))

    def notice(self, names: Sequence[str], text: str) -> None:
        """Add a line on these pictures, if there are any, to what is printed at the end."""
        if len(names) == 1:
            self.notices.append(f"{names[0]}: {text}")
        elif names:
            self.notices.append(f"{len(names)} pictures ({names[0]}, ...): {text}")

    def batches(self) -> Iterator[tuple[list[Picture], Tensor]]:
        """The pictures, `--batch-size` at a time, and as images on the model's device."""
        args, paths, size = self.args, self.pictures, self.model.image_size
        transform, finder = Transform(size, args.crop), reading.face_finder(args.align)
        parts = [paths[i : i + args.batch_size] for i in range(0, len(paths), args.batch_size)]
        cut: list[str] = []
        small: list[str] = []
        for part in shown(parts, args.verb, "pictures", len(paths), len):
            pictures = [reading.read_one(path, transform, finder) for path in part]
            cut += [picture.path.name for picture in pictures if picture.was_cut]
            small += [picture.path.name for picture in pictures if min(picture.size) < size]
            images = reading.to_tensor([picture.pixels for picture in pictures])
            yield pictures, images.to(self.model.device)
        self.notice(cut, "cut to the middle square; --align cuts out a face")
        self.notice(small, f"smaller than the model's {size} px, and enlarged")

    @cached_property
    def classifier(self) -> Classifier:
        """The classifier of --classifier, of --with and --without, or beside the checkpoint."""
        args, model = self.args, self.model
        if args.classifier is not None:
            classifier = Classifier.load(args.classifier)
            classifier.check(model, f"--classifier {args.classifier}")
            return classifier
        if args.having is None:
            return classifier_of(model)
        name = args.attribute
        if args.verb == "edit":
            name, _ = with_strength(args.attribute[0])
        return learn_from_two(model, self._codes(args.having), self._codes(args.lacking), name)

    def _codes(self, folder: Path) -> Tensor:
        """z_sem [N, d] of a folder's pictures."""
        args, model = self.args, self.model
        crop, align = getattr(args, "crop", reading.CENTRE), getattr(args, "align", False)
        images = reading.read(folder, model.image_size, crop, align).split(args.batch_size)
        return torch.cat([model.encode(batch.to(model.device)).cpu() for batch in images])


def _is_drawn(path: Path) -> bool:
    """Whether a picture is of a set of portraits, or marked as a model's."""
    return is_of_a_set(path) or marks.is_marked(path)


# ----------------------------------------------------------------------------------------------
# The verbs


# What is added to a picture's name for the file of a result (None: it is on the sheet only), and its settings.
Kind = tuple[str | None, dict[str, Any]]


def add_results(
    work: Work, output: Output, kinds: Sequence[Kind], make: Callable[[Tensor], Iterable[Tensor]]
) -> None:
    """A row for each picture: itself, and a result of each kind; `make` gives a batch of each."""
    for pictures, x in work.batches():
        made = [verbs.to_pil(images) for images in make(x)]
        for picture, *images in zip(pictures, *made, strict=True):
            source = {"source": picture.path.name, "cut": picture.cut}
            cells = [Cell(picture.image)]
            for image, (ending, settings) in zip(images, kinds, strict=True):
                file = "" if ending is None else f"{picture.name}{ending}.png"
                cells.append(Cell(image, file, {**source, **settings}))
            output.add(cells, picture.name)


def reconstruct(work: Work, output: Output) -> None:
    def make(x: Tensor) -> Iterable[Tensor]:
        yield verbs.reconstruct(work.model, x, **work.decoding)

    add_results(work, output, [("", {})], make)
    output.finish("Reconstructions", "Through both codes and back.", [INPUT, "reconstruction"])


def vary(work: Work, output: Output) -> None:
    count, seed = work.args.count, work.args.seed
    output.settings["seed"] = seed
    kinds: list[Kind] = [(f"-{k}", {"variation": k}) for k in range(1, count + 1)]

    def make(x: Tensor) -> Iterable[Tensor]:
        return verbs.vary(work.model, x, count, seed, **work.decoding).unbind(1)

    add_results(work, output, kinds, make)
    caption = "What z_sem keeps: the same z_sem, the details (x_T) drawn anew."
    output.finish("Variations", caption, [INPUT, *(f"x_T {k + 1}" for k in range(count))])


def interpolate(work: Work, output: Output) -> None:
    count, number = work.args.count, len(work.pictures)
    if number != 2:
        raise UserError(f"interpolate: two pictures, not the {number} of these folders")
    (a, x), (b, y) = (pair for batch in work.batches() for pair in zip(*batch, strict=True))
    made = verbs.interpolate(work.model, x[None], y[None], count, **work.decoding)
    images, t = verbs.to_pil(made), torch.linspace(0, 1, count).tolist()
    stem, digits = f"{a.name}-{b.name}", len(str(count))
    sources = {"source": [a.path.name, b.path.name]}
    animation = marks.gif(images, {**output.settings, **sources}, marks.EDITED)
    output.add_file(f"{stem}.gif", animation, sources)
    strip = Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))
    output.add_png(f"{stem}-strip.png", strip, sources)
    cells = [
        Cell(image, f"{stem}-{k + 1:0{digits}}.png", {**sources, "t": round(t[k], 6)})
        for k, image in enumerate(images)
    ]
    output.add([Cell(a.image), *cells, Cell(b.image)])
    caption = f"From {a.name} to {b.name}: z_sem on a line, x_T on a great circle."
    output.finish("Interpolation", caption, [a.name, *(f"{value:.2g}" for value in t), b.name])


def edit(work: Work, output: Output) -> None:
    classifier, strip = work.classifier, work.args.strip
    edits = edits_of(work.args, classifier)
    labels = [label(strengths) for strengths in edits]
    output.settings["classifier"] = classifier.made
    kinds: list[Kind] = [
        (f"-{file_part(words)}", {"edit": strengths})
        for words, strengths in zip(labels, edits, strict=True)
    ]
    caption = "z_sem moved by s sqrt(d) w / |w| along each attribute's classifier, x_T kept."
    if not strip:
        edits, kinds, labels = [{}, *edits], [(None, {}), *kinds], [UNEDITED, *labels]
        caption += f" The {UNEDITED} is decoded from both codes as they are."

    def make(x: Tensor) -> Iterator[Tensor]:
        code = verbs.encode(work.model, x, **work.decoding)
        for strengths in edits:
            moved = verbs.moved(code, strengths, classifier)
            yield verbs.decode(work.model, moved, **work.decoding)

    add_results(work, output, kinds, make)
    output.finish("Edits", caption, [INPUT, *labels])


def edits_of(args: Namespace, classifier: Classifier) -> list[dict[str, float]]:
    """The edits to make of each picture: one, or one for each strength of --strip.

    The strengths of --strip apply to the attributes that have none of their own.
    """
    own: dict[str, float | None] = {}
    for text in args.attribute:
        typed, value = with_strength(text, classifier.names)
        name = classifier.names[classifier.index(typed)]
        if name in own:
            raise UserError(f"--attribute {name}: given twice")
        own[name] = value
    flag = "--strip" if args.strip else "--strength"
    shared = args.strip or (args.strength,)
    if shared != (None,) and None not in own.values():
        raise UserError(f"{flag}: every attribute has its own strength; leave one without")
    edits = []
    for strength in shared:
        default = STRENGTH if strength is None else strength
        edits.append({name: default if value is None else value for name, value in own.items()})
    return edits


def label(strengths: Mapping[str, float]) -> str:
    """An edit in words, such as "Smiling +0.3, Male -0.2"."""
    return ", ".join(f"{name} {by:+g}" if by else f"{name} 0" for name, by in strengths.items())


def file_part(text: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text.replace(", ", "_").replace(" ", ""))[:80]


def sample(work: Work, output: Output) -> None:
    args = work.args
    output.settings["seed"], output.kind = args.seed, marks.GENERATED

    def cells() -> Iterator[Cell]:
        numbers = range(args.count)
        parts = [numbers[start : start + args.batch_size] for start in numbers[:: args.batch_size]]
        for part in shown(parts, "sample", "pictures", args.count, len):
            made = verbs.sample(work.model, len(part), args.seed, first=part.start, **work.decoding)
            for number, image in zip(part, verbs.to_pil(made), strict=True):
                yield Cell(image, f"sample-{number:04}.png", {"number": number}, str(number))

    output.add_in_rows(cells())
    output.finish("Samples", f"z_sem from the latent DDIM, x_T from N(0, I), seed {args.seed}.")


def sample_class(work: Work, output: Output) -> None:
    args, classifier = work.args, work.classifier
    name = classifier.names[classifier.index(args.attribute)]
    kind = f"not {name}" if args.absent else name
    accepted = verbs.sample_class(
        work.model, classifier, name, args.count, args.seed, not args.absent, **work.decoding
    )
    output.settings.update(seed=args.seed, classifier=classifier.made, tried=accepted.tried)
    output.settings["class"], output.kind = kind, marks.GENERATED
    cells, images = [], verbs.to_pil(accepted.images)
    probabilities = accepted.probability.tolist()
    for image, number, p in zip(images, accepted.numbers, probabilities, strict=True):
        settings = {"number": number, "probability": round(p, 4)}
        cells.append(Cell(image, f"sample-{number:05}.png", settings, f"{number}: p {p:.2f}"))
    output.add_in_rows(cells)
    caption = f"Samples that a classifier takes for {kind} (p > 0.5); p is its probability. Learnt from {classifier.made}."
    output.finish(f"Samples: {kind}", caption)


_VERBS = (reconstruct, vary, interpolate, edit, sample, sample_class)
MAKERS = {verb.__name__.replace("_", "-"): verb for verb in _VERBS}
