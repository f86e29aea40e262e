"""The content of each verb's folder: rows of pictures, and the texts of the contact sheet.

The functions are in `verbs`.
"""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from diffae.checkpoints.packaged import is_packaged
from diffae.data.portraits.write import is_of_a_set
from diffae.images import marks, reading, verbs
from diffae.images.classifier import Classifier, classifier_of
from diffae.images.options import STRENGTH, with_strength
from diffae.images.output import Output, Picture
from diffae.images.verbs import Decoding
from diffae.model import DiffusionAutoencoder as Model
from diffae.system.cli import say
from diffae.system.errors import UserError
from diffae.system.files import file_name
from diffae.system.progress import shown

AT_ONCE = 16  # pictures that are encoded and decoded together
SAMPLES_A_ROW = 8
INPUT, UNEDITED = "input", "reconstruction"
LIMITS = (
    "the packaged model knows drawn portraits of {size} px only: x_T keeps a photograph, and what "
    "z_sem describes or changes in it comes back as a drawing; --ckpt takes a model of photographs"
)


def decoding(args: Namespace) -> Decoding:
    """The options of the command line for decoding."""
    return {"steps": args.steps, "solver": args.solver}


def batches(args: Namespace, model: Model, output: Output) -> Iterator[tuple[list[Path], Tensor]]:
    """The pictures of the command line in batches: their paths, and the images on the model's device."""
    paths, notices = reading.find(args.pictures)
    if is_packaged(model.source) and not all(map(is_of_a_set, paths)):
        notices.append(LIMITS.format(size=model.image_size))
    output.settings["cut"] = args.crop
    parts = [paths[start : start + AT_ONCE] for start in range(0, len(paths), AT_ONCE)]
    for part in shown(parts, args.verb, "pictures", len(paths), len):
        yield part, reading.read(part, model.image_size, args.crop).to(model.device)
    for line in notices:
        say(line)


def stem_of(path: Path) -> str:
    """The start of the names of all files that are made from a picture."""
    return path.stem[:80]


# ----------------------------------------------------------------------------------------------
# The verbs


class PictureColumn(NamedTuple):
    """A column of the sheet: one picture made from each picture of a batch.

    `ending` is added to the picture's name for the file's (None: it is on the sheet only).
    """

    images: Tensor
    ending: str | None = ""
    settings: marks.Settings = {}


def add_rows(
    output: Output, paths: Sequence[Path], x: Tensor, columns: Sequence[PictureColumn]
) -> None:
    """Add a row for each picture of a batch: the picture, and those that were made from it."""
    for number, path in enumerate(paths):
        row = [Picture(x[number])]
        for images, ending, settings in columns:
            file = "" if ending is None else f"{stem_of(path)}{ending}.png"
            row.append(Picture(images[number], file, {"source": path.name, **settings}))
        output.add(row, stem_of(path))


def reconstruct(args: Namespace, model: Model, output: Output) -> None:
    for paths, x in batches(args, model, output):
        made = verbs.reconstruct(model, x, **decoding(args))
        add_rows(output, paths, x, [PictureColumn(made)])
    output.finish("Reconstructions", "Through both codes and back.", [INPUT, UNEDITED])


def vary(args: Namespace, model: Model, output: Output) -> None:
    for paths, x in batches(args, model, output):
        made = verbs.vary(model, x, args.count, args.seed, **decoding(args)).unbind(1)
        columns = [PictureColumn(y, f"-{k}", {"variation": k}) for k, y in enumerate(made, 1)]
        add_rows(output, paths, x, columns)
    caption = "What z_sem keeps: the same z_sem, the details (x_T) drawn anew."
    titles = [f"x_T {k}" for k in range(1, args.count + 1)]
    output.finish("Variations", caption, [INPUT, *titles])


def interpolate(args: Namespace, model: Model, output: Output) -> None:
    number = len(reading.find(args.pictures)[0])
    if number != 2:
        raise UserError(f"interpolate: two pictures, not the {number} of these folders")
    [((a, b), x)] = batches(args, model, output)
    made = verbs.interpolate(model, x[:1], x[1:], args.count, **decoding(args))
    t = torch.linspace(0, 1, args.count).tolist()
    first, last = stem_of(a), stem_of(b)
    stem, digits = f"{first}-{last}", len(str(args.count))
    sources = {"source": [a.name, b.name]}
    marks.save_gif(
        output.new_file(f"{stem}.gif"), verbs.to_pil(made), {**output.settings, **sources}
    )
    cells = [
        Picture(image, f"{stem}-{k + 1:0{digits}}.png", {**sources, "t": round(t[k], 6)})
        for k, image in enumerate(made)
    ]
    output.add([Picture(x[0]), *cells, Picture(x[1])])
    caption = f"From {first} to {last}: z_sem on a line, x_T on a great circle."
    output.finish("Interpolation", caption, [first, *(f"{value:.2g}" for value in t), last])


def edit(args: Namespace, model: Model, output: Output) -> None:
    classifier = classifier_of(model, args.classifier)
    edits = edits_of(args.attribute, args.strength, classifier)
    output.settings["classifier"] = classifier.made
    columns = [INPUT, *map(label, edits)]
    caption = "z_sem moved by s sqrt(d) w / |w| along each attribute's classifier, x_T kept."
    if len(edits) == 1:
        columns.insert(1, UNEDITED)
        caption += f" The {UNEDITED} is decoded from both codes as they are."

    for paths, x in batches(args, model, output):
        made = []
        code = verbs.encode(model, x, **decoding(args))
        if len(edits) == 1:
            made.append(PictureColumn(verbs.decode(model, code, **decoding(args)), None))
        for strengths in edits:
            edited = verbs.decode(model, verbs.moved(code, strengths, classifier), **decoding(args))
            ending = f"-{file_name(label(strengths).replace(' ', ''))}"
            made.append(PictureColumn(edited, ending, {"edit": strengths}))
        add_rows(output, paths, x, made)
    output.finish("Edits", caption, columns)


def edits_of(
    attributes: Sequence[str], shared: Sequence[float], classifier: Classifier
) -> list[dict[str, float]]:
    """The edits of each picture, one for each strength of --strength.

    These `shared` strengths apply to the attributes that have no strength of their own.
    """
    own: dict[str, float | None] = {}
    for text in attributes:
        name, value = with_strength(text, classifier.names)
        classifier.index(name)  # an unknown attribute is refused before the work
        if name in own:
            raise UserError(f"--attribute {name}: given twice")
        own[name] = value
    if shared and None not in own.values():
        raise UserError("--strength: every attribute has its own strength; leave one without")
    return [
        {name: strength if value is None else value for name, value in own.items()}
        for strength in shared or [STRENGTH]
    ]


def label(strengths: Mapping[str, float]) -> str:
    """An edit in words, such as "Smiling +0.3, Male -0.2"."""
    return ", ".join(f"{name} {by:+g}" if by else f"{name} 0" for name, by in strengths.items())


def sample(args: Namespace, model: Model, output: Output) -> None:
    numbers = range(args.count)
    rows = [numbers[start : start + SAMPLES_A_ROW] for start in numbers[::SAMPLES_A_ROW]]
    for row in shown(rows, "sample", "pictures", args.count, len):
        made = verbs.sample(model, len(row), args.seed, first=row.start, **decoding(args))
        output.add(
            [
                Picture(image, f"sample-{number:04}.png", {"number": number}, str(number))
                for number, image in zip(row, made, strict=True)
            ]
        )
    output.finish("Samples", f"z_sem from the latent DDIM, x_T from N(0, I), seed {args.seed}.")


def sample_class(args: Namespace, model: Model, output: Output) -> None:
    classifier, name = classifier_of(model, args.classifier), args.attribute
    kind = f"not {name}" if args.absent else name
    accepted = verbs.sample_class(
        model, classifier, name, args.count, args.seed, not args.absent, **decoding(args)
    )
    output.settings |= {"classifier": classifier.made, "tried": accepted.tried, "class": kind}
    cells, probabilities = [], accepted.probability.tolist()
    for image, number, p in zip(accepted.images, accepted.numbers, probabilities, strict=True):
        settings = {"number": number, "probability": round(p, 4)}
        cells.append(Picture(image, f"sample-{number:05}.png", settings, f"{number}: p {p:.2f}"))
    for start in range(0, len(cells), SAMPLES_A_ROW):
        output.add(cells[start : start + SAMPLES_A_ROW])
    caption = f"Samples that a classifier takes for {kind} (p > 0.5); p is its probability. Learnt from {classifier.made}."
    output.finish(f"Samples: {kind}", caption)


_VERBS = (reconstruct, vary, interpolate, edit, sample, sample_class)
MAKERS = {verb.__name__.replace("_", "-"): verb for verb in _VERBS}
