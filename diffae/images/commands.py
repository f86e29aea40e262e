"""What the verbs of the command make: rows of pictures, and the sheet's words. The verbs themselves are in `verbs`."""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from diffae.data.transforms import ALIGNED_CELEBA, Transform
from diffae.errors import UserError
from diffae.images import align, choosing, marks, reading, verbs
from diffae.images.classifier import Classifier
from diffae.images.output import Cell, Output, Row, enlarged
from diffae.images.reading import Picture, Read
from diffae.model import DiffusionAutoencoder

SAMPLES_A_ROW = 8
SEEN = 128  # pixels a side of an animation, about: browsers blur small ones
INPUT = "input"


@dataclass
class Work:
    """A verb's arguments and its model, and what was noticed on the way."""

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
        found, self.left_out = reading.look(self.args.pictures)
        return found

    @cached_property
    def landmarks(self) -> Mapping[str, align.Points]:
        """Five points by file name."""
        if self.args.points:
            return {self.pictures[0].path.name: align.five_points(self.args.points, "--points")}
        if self.args.landmarks is None:
            return {}
        known = align.read_landmarks(self.args.landmarks)
        missing = [one.path.name for one in self.pictures if one.path.name not in known]
        if missing:
            raise UserError(
                f"--landmarks {self.args.landmarks}: has no row for {len(missing)} of {len(self.pictures)} pictures, "
                f"first {missing[0]}"
            )
        return known

    def batches(self) -> Iterator[tuple[list[Read], Tensor]]:
        """The pictures, `--batch-size` at a time, as they were read and as images on the model's device."""
        transform = Transform(self.model.image_size, self.args.crop)
        landmarks = self.landmarks
        with bar(len(self.pictures), self.args.verb, "picture") as progress:
            for reads in reading.batches(self.pictures, transform, self.args.batch_size, landmarks):
                for one in reads:  # without their pixels, of which there may be hundreds
                    self.read.append(Read(one.picture, np.empty(0), one.size, one.cut))
                pixels = [one.pixels for one in reads]
                yield reads, reading.to_tensor(pixels).to(self.model.device)
                progress.update(len(reads))

    @cached_property
    def classifier(self) -> Classifier:
        return choosing.classifier(self.args, self.model, self.fingerprint)


def bar(total: int, what: str, unit: str) -> tqdm:
    """On standard error, where that is a terminal and the work takes more than a moment."""
    return tqdm(total=total, desc=what, unit=unit, delay=1, disable=None)


@dataclass(frozen=True)
class Made:
    """What a verb makes: its sheet's columns and words, the source type of its pictures, and its rows, made as they are asked
    for."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Iterator[Row]
    settings: Mapping[str, Any] = field(default_factory=dict)
    kind: str = marks.EDITED


def input_cell(read: Read) -> Cell:
    return Cell(Image.fromarray(read.pixels))


def reconstruct(work: Work, output: Output) -> Made:
    def rows() -> Iterator[Row]:
        for reads, x in work.batches():
            made = verbs.to_pil(verbs.reconstruct(work.model, x, **work.way))
            for one, image in zip(reads, made, strict=True):
                name = one.picture.name
                cell = Cell(image, f"{name}.png", {"source": one.picture.path.name, "cut": one.cut})
                yield Row(name, [input_cell(one), cell])

    return Made(
        "Reconstructions", "Through both codes and back.", [INPUT, "reconstruction"], rows()
    )


def vary(work: Work, output: Output) -> Made:
    count, seed = work.args.count, work.args.seed

    def rows() -> Iterator[Row]:
        for reads, x in work.batches():
            made = verbs.vary(work.model, x, count, seed, **work.way)
            for one, images in zip(reads, made, strict=True):
                name, about = one.picture.name, {"source": one.picture.path.name, "cut": one.cut}
                cells = [
                    Cell(image, f"{name}-{k + 1}.png", {**about, "variation": k + 1})
                    for k, image in enumerate(verbs.to_pil(images))
                ]
                yield Row(name, [input_cell(one), *cells])

    columns = [INPUT, *(f"x_T {k + 1}" for k in range(count))]
    caption = "What z_sem keeps: the same z_sem, the details (x_T) drawn anew."
    return Made("Variations", caption, columns, rows(), {"seed": seed})


def interpolate(work: Work, output: Output) -> Made:
    count = work.args.count
    names = [one.name for one in work.pictures]
    if len(names) != 2:
        raise UserError(f"interpolate: two pictures, not the {len(names)} of these folders")
    t = torch.linspace(0, 1, count).tolist()

    def rows() -> Iterator[Row]:
        together = [pair for batch in work.batches() for pair in zip(*batch, strict=True)]
        (a, x), (b, y) = together
        images = verbs.to_pil(verbs.interpolate(work.model, x[None], y[None], count, **work.way))
        stem = f"{names[0]}-{names[1]}"
        about = {"source": [a.picture.path.name, b.picture.path.name]}
        digits = len(str(count))
        cells = [
            Cell(image, f"{stem}-{k + 1:0{digits}}.png", {**about, "t": round(t[k], 6)})
            for k, image in enumerate(images)
        ]
        large = [enlarged(image, max(1, SEEN // image.width)) for image in images]
        gif = marks.gif(large, {**output.settings, **about}, marks.EDITED)
        output.add_file(f"{stem}.gif", gif)
        output.add_png(f"{stem}-strip.png", side_by_side(images), about)
        yield Row("", [input_cell(a), *cells, input_cell(b)])

    columns = [names[0], *(f"{value:.2g}" for value in t), names[1]]
    caption = f"From {names[0]} to {names[1]}: z_sem on a line, x_T on a great circle."
    return Made("Interpolation", caption, columns, rows())


def side_by_side(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size as one."""
    return Image.fromarray(np.concatenate([np.asarray(image) for image in images], axis=1))


def edit(work: Work, output: Output) -> Made:
    args, classifier = work.args, work.classifier
    asked = args.attribute or [(classifier.names[0], None)]
    settings = choosing.strips(asked, args.strength, args.strip, classifier)
    labels = [choosing.label(one) for one in settings]

    def rows() -> Iterator[Row]:
        for reads, x in work.batches():
            code = verbs.encode(work.model, x, **work.way)
            plain: list[dict[str, float]] = [] if args.strip else [{}]
            made = [
                verbs.to_pil(
                    verbs.decode(work.model, verbs.moved(code, one, classifier), **work.way)
                )
                for one in [*plain, *settings]
            ]
            for i, one in enumerate(reads):
                name, about = one.picture.name, {"source": one.picture.path.name, "cut": one.cut}
                images = [column[i] for column in made]
                cells = [
                    Cell(
                        image, f"{name}-{choosing.file_part(label)}.png", {**about, "edit": change}
                    )
                    for image, label, change in zip(
                        images[len(plain) :], labels, settings, strict=True
                    )
                ]
                yield Row(name, [input_cell(one), *map(Cell, images[: len(plain)]), *cells])

    columns = [INPUT, *([] if args.strip else ["unedited"]), *labels]
    caption = "z_sem moved by s sqrt(d) w / |w| along each attribute's classifier, x_T kept."
    about = {"classifier": choosing.described(classifier)}
    return Made("Edits", caption, columns, rows(), about)


def sample(work: Work, output: Output) -> Made:
    args = work.args
    choosing.refuse_without_latents(work.model, args)

    def cells() -> Iterator[Cell]:
        with bar(args.count, "sample", "picture") as progress:
            for first in range(0, args.count, args.batch_size):
                size = min(args.batch_size, args.count - first)
                made = verbs.sample(work.model, size, args.seed, first=first, **work.way)
                for number, image in enumerate(verbs.to_pil(made), start=first):
                    yield Cell(image, f"sample-{number:04}.png", {"number": number}, str(number))
                progress.update(size)

    caption = f"z_sem from the latent DDIM, x_T from N(0, I), seed {args.seed}."
    return Made("Samples", caption, (), in_rows(cells()), {"seed": args.seed}, marks.GENERATED)


def in_rows(cells: Iterator[Cell]) -> Iterator[Row]:
    """Samples in rows; the note of each has the number of its file."""
    while row := list(islice(cells, SAMPLES_A_ROW)):
        yield Row("", row)


def sample_class(work: Work, output: Output) -> Made:
    args = work.args
    choosing.refuse_without_latents(work.model, args)
    classifier = work.classifier
    name = classifier.names[classifier.index(args.attribute)]
    kind = f"not {name}" if args.absent else name

    def cells() -> Iterator[Cell]:
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
        output.settings = {**output.settings, "tried": found.tried}
        for image, number, p in zip(
            verbs.to_pil(found.images), found.numbers, found.probability.tolist(), strict=True
        ):
            about = {"number": number, "probability": round(p, 4)}
            yield Cell(image, f"sample-{number:05}.png", about, f"{number}: p {p:.2f}")

    rule = "p > 0.5" if args.accept == "threshold" else "with probability p"
    caption = f"Samples that a classifier takes for {kind} ({rule}); p is its probability. Learnt from {classifier.made}."
    about = {
        "seed": args.seed,
        "class": kind,
        "accept": args.accept,
        "classifier": choosing.described(classifier),
    }
    return Made(f"Samples: {kind}", caption, (), in_rows(cells()), about, marks.GENERATED)


MAKERS: Mapping[str, Callable[[Work, Output], Made]] = {
    "reconstruct": reconstruct,
    "vary": vary,
    "interpolate": interpolate,
    "edit": edit,
    "sample": sample,
    "sample-class": sample_class,
}


def notices(work: Work) -> Iterator[str]:
    """What a person should know of how their pictures were read, a line for each kind."""
    read, size = work.read, work.model.image_size
    yield from work.left_out
    cut = [one for one in read if one.was_cut]
    celeba = [one for one in cut if one.size == ALIGNED_CELEBA]
    small = [one for one in read if min(one.size) < size]
    if cut:
        first = f"{cut[0].picture.path.name} of {cut[0].size[0]} x {cut[0].size[1]}"
        which = first if len(cut) == 1 else f"{len(cut)} pictures ({first}, ...)"
        yield f"{which}: cut to the middle square; --landmarks or --points aligns a face"
    if celeba:
        yield "pictures of 178 x 218, as CelebA's aligned ones: --crop d2c takes the face, as models of CelebA 64 px have seen it"
    if small:
        which = small[0].picture.path.name if len(small) == 1 else f"{len(small)} pictures"
        yield f"{which}: smaller than the model's {size} px, and enlarged"
