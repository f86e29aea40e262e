"""The results of each verb of the command: rows of pictures and the texts of the sheet.

The functions are in `verbs`.
"""

import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from diffae.data.transforms import ALIGNED_CELEBA, Transform
from diffae.images import align, choosing, marks, reading, verbs
from diffae.images.classifier import Classifier
from diffae.images.output import Cell, Output, enlarged
from diffae.images.reading import Picture, Read
from diffae.model import DiffusionAutoencoder
from diffae.system.errors import UserError

SAMPLES_A_ROW = 8
SEEN = 128  # pixels a side of an animation, about: browsers blur small ones
INPUT = "input"


@dataclass
class Work:
    """The arguments and the model of a command, and notices collected on the way."""

    args: Namespace
    model: DiffusionAutoencoder
    fingerprint: str
    read: list[Read] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def way(self) -> dict[str, Any]:
        return {"steps": self.args.steps, "solver": self.args.solver}

    @cached_property
    def pictures(self) -> list[Picture]:
        found, self.left_out = reading.find(self.args.pictures)
        return found

    @cached_property
    def landmarks(self) -> Mapping[Picture, align.Points]:
        """Five points of each picture that is aligned."""
        if self.args.points:
            return {self.pictures[0]: align.five_points(self.args.points, "--points")}
        if self.args.align:
            with bar(len(self.pictures), "faces") as progress:
                return reading.find_faces(_counted(self.pictures, progress))
        if self.args.landmarks is None:
            return {}
        known = align.read_landmarks(self.args.landmarks)
        missing = [one.path.name for one in self.pictures if one.path.name not in known]
        if missing:
            raise UserError(
                f"--landmarks {self.args.landmarks}: has no row for {len(missing)} of {len(self.pictures)} pictures, "
                f"first {missing[0]}"
            )
        return {one: known[one.path.name] for one in self.pictures}

    def batches(self) -> Iterator[tuple[list[Read], Tensor]]:
        """The pictures, `--batch-size` at a time, as read and as images on the model's device."""
        transform = Transform(self.model.image_size, self.args.crop)
        reads = reading.batches(self.pictures, transform, self.args.batch_size, self.landmarks)
        with bar(len(self.pictures), self.args.verb) as progress:
            for some in reads:
                self.read += [replace(one, pixels=np.empty(0)) for one in some]
                pixels = [one.pixels for one in some]
                yield some, reading.to_tensor(pixels).to(self.model.device)
                progress.update(len(some))

    @cached_property
    def classifier(self) -> Classifier:
        return choosing.classifier(self.args, self.model, self.fingerprint)


def bar(total: int, what: str) -> tqdm:
    """A progress bar on standard error, if that is a terminal and the work takes more than a moment."""
    return tqdm(total=total, desc=what, unit="picture", delay=1, disable=None)


def _counted(pictures: Iterable[Picture], progress: tqdm) -> Iterator[Picture]:
    for one in pictures:
        yield one
        progress.update()


def input_cell(read: Read) -> Cell:
    return Cell(Image.fromarray(read.pixels))


def made_of(read: Read, image: Image.Image, name: str = "", **about: Any) -> Cell:
    """The cell of a result for a picture; its file name is the picture's with this addition."""
    source = {"source": read.picture.path.name, "cut": read.cut}
    return Cell(image, f"{read.picture.name}{name}.png", {**source, **about})


def reconstruct(work: Work, output: Output) -> None:
    for reads, x in work.batches():
        made = verbs.to_pil(verbs.reconstruct(work.model, x, **work.way))
        for one, image in zip(reads, made, strict=True):
            output.add([input_cell(one), made_of(one, image)], one.picture.name)
    output.finish("Reconstructions", "Through both codes and back.", [INPUT, "reconstruction"])


def vary(work: Work, output: Output) -> None:
    count, seed = work.args.count, work.args.seed
    output.settings["seed"] = seed
    for reads, x in work.batches():
        made = verbs.vary(work.model, x, count, seed, **work.way)
        for one, images in zip(reads, made, strict=True):
            cells = [
                made_of(one, image, f"-{k}", variation=k)
                for k, image in enumerate(verbs.to_pil(images), start=1)
            ]
            output.add([input_cell(one), *cells], one.picture.name)
    caption = "What z_sem keeps: the same z_sem, the details (x_T) drawn anew."
    output.finish("Variations", caption, [INPUT, *(f"x_T {k + 1}" for k in range(count))])


def interpolate(work: Work, output: Output) -> None:
    count = work.args.count
    names = [one.name for one in work.pictures]
    if len(names) != 2:
        raise UserError(f"interpolate: two pictures, not the {len(names)} of these folders")
    t = torch.linspace(0, 1, count).tolist()
    (a, x), (b, y) = (pair for batch in work.batches() for pair in zip(*batch, strict=True))
    images = verbs.to_pil(verbs.interpolate(work.model, x[None], y[None], count, **work.way))
    stem, digits = "-".join(names), len(str(count))
    about = {"source": [a.picture.path.name, b.picture.path.name]}
    cells = [
        Cell(image, f"{stem}-{k + 1:0{digits}}.png", {**about, "t": round(t[k], 6)})
        for k, image in enumerate(images)
    ]
    large = [enlarged(image, max(1, SEEN // image.width)) for image in images]
    gif = marks.gif(large, {**output.settings, **about}, marks.EDITED)
    output.add_file(f"{stem}.gif", gif)
    strip = Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))
    output.add_png(f"{stem}-strip.png", strip, about)
    output.add([input_cell(a), *cells, input_cell(b)])
    caption = f"From {names[0]} to {names[1]}: z_sem on a line, x_T on a great circle."
    output.finish("Interpolation", caption, [names[0], *(f"{value:.2g}" for value in t), names[1]])


def edit(work: Work, output: Output) -> None:
    args, classifier = work.args, work.classifier
    asked = args.attribute or [(classifier.names[0], None)]
    edits = choosing.strips(asked, args.strength, args.strip, classifier)
    labels = [label(one) for one in edits]
    output.settings["classifier"] = classifier.made
    plain = 0 if args.strip else 1  # columns that are not edited
    for reads, x in work.batches():
        code = verbs.encode(work.model, x, **work.way)
        made = [
            verbs.to_pil(verbs.decode(work.model, verbs.moved(code, one, classifier), **work.way))
            for one in [*([{}] * plain), *edits]
        ]
        for one, *images in zip(reads, *made, strict=True):
            cells = [
                made_of(one, image, f"-{file_part(words)}", edit=change)
                for image, words, change in zip(images[plain:], labels, edits, strict=True)
            ]
            output.add([input_cell(one), *map(Cell, images[:plain]), *cells], one.picture.name)
    caption = "z_sem moved by s sqrt(d) w / |w| along each attribute's classifier, x_T kept."
    output.finish("Edits", caption, [INPUT, *(["unedited"] * plain), *labels])


def label(change: Mapping[str, float]) -> str:
    """An edit in words, such as "Smiling +0.3, Male -0.2"."""
    return ", ".join(
        f"{name} {value:+g}" if value else f"{name} 0" for name, value in change.items()
    )


def file_part(text: str) -> str:
    """A label as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text.replace(", ", "_").replace(" ", ""))[:80]


def sample(work: Work, output: Output) -> None:
    args = work.args
    output.settings["seed"], output.kind = args.seed, marks.GENERATED

    def cells() -> Iterator[Cell]:
        with bar(args.count, "sample") as progress:
            for first in range(0, args.count, args.batch_size):
                size = min(args.batch_size, args.count - first)
                made = verbs.sample(work.model, size, args.seed, first=first, **work.way)
                for number, image in enumerate(verbs.to_pil(made), start=first):
                    yield Cell(image, f"sample-{number:04}.png", {"number": number}, str(number))
                progress.update(size)

    in_rows(output, cells())
    output.finish("Samples", f"z_sem from the latent DDIM, x_T from N(0, I), seed {args.seed}.")


def in_rows(output: Output, cells: Iterator[Cell]) -> None:
    """Samples in rows; the note of each has the number of its file."""
    while row := list(islice(cells, SAMPLES_A_ROW)):
        output.add(row)


def sample_class(work: Work, output: Output) -> None:
    args, classifier = work.args, work.classifier
    name = classifier.names[classifier.index(args.attribute)]
    kind = f"not {name}" if args.absent else name
    found = verbs.sample_class(
        work.model,
        classifier,
        name,
        args.count,
        args.seed,
        present=not args.absent,
        rule=args.accept,
        pool=args.pool,
        **work.way,
    )
    about = {"seed": args.seed, "class": kind, "accept": args.accept, "classifier": classifier.made}
    output.settings |= {**about, "tried": found.tried}
    output.kind = marks.GENERATED

    def cells() -> Iterator[Cell]:
        chances = found.probability.tolist()
        images = verbs.to_pil(found.images)
        for image, number, p in zip(images, found.numbers, chances, strict=True):
            one = {"number": number, "probability": round(p, 4)}
            yield Cell(image, f"sample-{number:05}.png", one, f"{number}: p {p:.2f}")

    in_rows(output, cells())
    rule = "p > 0.5" if args.accept == "threshold" else "with probability p"
    caption = f"Samples that a classifier takes for {kind} ({rule}); p is its probability. Learnt from {classifier.made}."
    output.finish(f"Samples: {kind}", caption)


MAKERS: Mapping[str, Callable[[Work, Output], None]] = {
    "reconstruct": reconstruct,
    "vary": vary,
    "interpolate": interpolate,
    "edit": edit,
    "sample": sample,
    "sample-class": sample_class,
}


def notices(work: Work) -> Iterator[str]:
    """Notices on how pictures were read, one line for each kind."""
    read, size = work.read, work.model.image_size
    yield from work.left_out
    cut = [one for one in read if one.was_cut]
    small = [one for one in read if min(one.size) < size]
    if cut:
        first = f"{cut[0].picture.path.name} of {cut[0].size[0]} x {cut[0].size[1]}"
        which = first if len(cut) == 1 else f"{len(cut)} pictures ({first}, ...)"
        yield f"{which}: cut to the middle square; --align, --landmarks or --points aligns a face"
    if any(one.size == ALIGNED_CELEBA for one in cut):
        yield "pictures of 178 x 218, as CelebA's aligned ones: --crop d2c takes the face, as models of CelebA 64 px have seen it"
    if small:
        which = small[0].picture.path.name if len(small) == 1 else f"{len(small)} pictures"
        yield f"{which}: smaller than the model's {size} px, and enlarged"
