"""Pictures of reconstructions: the worst ones, and the single images of --save-images."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from benchmarks.core.images import Selection, code_of
from benchmarks.core.job import Arrays, Job
from benchmarks.core.measurement import RANDOM, Place, Variant
from benchmarks.core.store import CHUNK
from diffae.data.dataset import Dataset
from diffae.eight_bit import to_uint8
from diffae.system import distributed
from diffae.system.files import writing
from diffae.system.whole import write_whole

DECODED = "decoded"  # the array of decoded images
# Images that are reconstructed worst, decoded again for a picture: a mean does not show them.
WORST = 4
NOTED = {"ssim": "SSIM {:.3f}", "mse": "MSE {:.2g}"}
INPUTS = "inputs"  # the folder of --save-images with which the others are compared


def save_worst(place: Place, images: Selection, scores: Arrays) -> None:
    """Save a picture of the images of the lowest SSIM, the worst first, with their scores under them."""
    context, variant = place.context, place.variant
    if context.pictures is None or variant is None:
        return
    worst = np.argsort(scores["ssim"], kind="stable")[:WORST]

    def decode() -> Tensor:
        return variant.decode(code_of(context.store.rows(variant.codes(images), worst.tolist())))

    decoded = place.pictured(images, worst, decode)
    notes = [", ".join(f.format(scores[name][p]) for name, f in NOTED.items()) for p in worst]
    place.draw(
        "reconstruction-worst-{}",
        "the worst reconstructions",
        [images.batch(worst), decoded],
        rows=("input", "reconstruction"),
        columns=[caption(context.dataset, int(i)) for i in images.order[worst]],
        caption=f"Those of the lowest SSIM of {len(images):,} images, the worst first.",
        notes=[[""] * len(worst), notes],
    )


def caption(data: Dataset, index: int) -> str:
    """The file of an image, after its class if it has one: files of two classes may have one name."""
    file = data.name_of(index).split("/")[-1]
    if data.classes is None:
        return file
    return f"{data.attribute_names[data.classes[index]]}/{file}"


def save_inputs(folder: Path, images: Selection) -> None:
    """Save the images at the size of the comparison, in a folder of their own in `folder`."""
    for start in range(0, len(images), CHUNK):
        indices = images.order[start : start + CHUNK]
        _save_images(
            folder / INPUTS, to_uint8(images.dataset.batch(indices)).numpy(), indices.tolist()
        )


def save_decoded(variant: Variant, images: Selection, job: Job) -> None:
    """Save the decoded images of a job, one chunk at a time: they may be many."""
    context, name = variant.context, variant.system.name
    folder = context.images / (f"{name}-random" if variant.x_T == RANDOM else name)  # type: ignore[operator]
    for first, chunk in enumerate(context.store.chunks(job)):
        indices = images.order[first * CHUNK :][: len(chunk[DECODED])].tolist()
        _save_images(folder, chunk[DECODED], indices)


def _save_images(folder: Path, images: np.ndarray, indices: Sequence[int]) -> None:
    """Write images (uint8 N x 3 x S x S) as PNG files named by their indices: 000012.png."""
    if not distributed.is_main():
        return
    with writing(folder, "or choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        for pixels, index in zip(images, indices, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(pixels.transpose(1, 2, 0)).save(buffer, "PNG")
            write_whole(folder / f"{index:06d}.png", buffer.getvalue())
