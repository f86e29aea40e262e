"""Reconstruction of each image at its own size: `--native`.

A system with a stride encodes and decodes images of any shape. An image is not resized: its middle is
taken, as large as multiples of the stride allow. Shapes differ, so that codes and pixels are not stored,
only the scores of each image and the features of both sides.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.core.images import Selection
from benchmarks.core.job import Arrays, Calls, Job, SetComparison
from benchmarks.core.measurement import Numbers, Place, Variant
from benchmarks.metrics import pairs
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.pairs import DESCRIBED, PairNetwork
from benchmarks.metrics.ssim import RADIUS
from benchmarks.plugin import Context, Measurement, NotAvailable, System
from benchmarks.runtime.calling import CPU_PIXELS
from benchmarks.runtime.errors import SystemFailed
from benchmarks.tasks.reconstruction.tables import NATIVE, OF_SETS
from benchmarks.tasks.shared.distances import set_estimates, side_of
from diffae.data.dataset import in_floats

CROP = "each image at its own size, its middle cut to multiples of the stride"
# Pixels of the images that are computed together. On a CPU larger batches are slower; a larger image is alone.
AT_ONCE = {"cpu": CPU_PIXELS, "cuda": 1 << 21}
ORIGINAL = "original "  # begins the names of the originals' features among the arrays


def measurements(
    context: Context, images: Selection, system: System, solver: str, steps: int
) -> Iterator[Measurement]:
    """The scores of the reconstructions, and their distances by each feature network.

    Raises NotAvailable for a system, or a data set, whose images have one size.
    """
    if system.stride is None:
        reason = f"{system.title} has no stride, and takes images of one size"
        raise NotAvailable(f"{reason}: --native leaves it out; measure it without --native")
    if not images.dataset.has_own_sizes:
        reason = f"the images of {images.dataset.name} have been resized, or are an array"
        raise NotAvailable(f"{reason}: --native needs image files; give their folder as --data")
    context = replace(context, model=dict(system.describe()))  # which is not run at one size
    native = Native(Variant.of(context, system, solver, steps), images)
    scores = replace(native.job, names=tuple(native.scores))
    yield Measurement([scores], native.score_numbers)
    for network in context.networks.features:  # of which memory holds one's features at a time
        names = (network.array, ORIGINAL + network.array, *native.scores)
        comparisons = [
            SetComparison(title, len(images), len(images))
            for title in ("kernel distance", "overlap")
        ]
        of_network = partial(native.set_numbers, network)
        yield Measurement([replace(native.job, names=names)], of_network, comparisons)


@dataclass(frozen=True)
class Native:
    """The images, each at its own size, as the system reconstructs them."""

    variant: Variant
    images: Selection

    @cached_property
    def scores(self) -> Mapping[str, PairNetwork | None]:
        """The network of each score."""
        perceptual = self.variant.context.networks.perceptual
        of_pixels = dict.fromkeys(("ssim", "ssim_valid", "mse", "psnr"))
        return {**of_pixels, perceptual.metric_name: perceptual}

    @property
    def stride(self) -> int:
        return self.variant.system.stride or 1

    @cached_property
    def smallest(self) -> int:
        """The side in px, once it is cut, below which an image is left out, for all metrics alike."""
        window, network = 2 * RADIUS + 1, self.variant.context.networks.perceptual.smallest
        return self.stride * -(-max(window, network) // self.stride)

    @cached_property
    def place(self) -> Place:
        variant, split = self.variant, self.images.split
        place = Place(variant.context, NATIVE, variant, split=split).also(
            transform={"crop": CROP, "stride": self.stride, "smallest_side": self.smallest},
            split=split,
        )
        return place.also(x_T=variant.x_T) if variant.x_T else place

    @cached_property
    def job(self) -> Job:
        """Scores per image, [N] each, and features N x d of both sides by each network.

        The rows of an image that is left out are nan.
        """
        context, variant = self.variant.context, self.variant
        calls = variant.encoding + variant.decoding + Calls(features=2, perceptual=1)
        job = self.place.job(
            "native",
            "encode and decode, each at its own size",
            self.images,
            self._compute,
            calls=calls,
            scores=list(self.scores),
            perceptual=context.networks.perceptual.describe(),
            features=context.codes.described(),
        )
        return replace(job, empty=self._rows(0))

    def _compute(self, positions: np.ndarray) -> Arrays:
        arrays = self._rows(len(positions))
        for rows, originals in self._batches(positions):
            for name, values in self._of_batch(originals).items():
                arrays[name][rows] = values
        return arrays

    def _rows(self, count: int) -> Arrays:
        arrays: Arrays = {name: np.full(count, np.nan) for name in self.scores}
        for network in self.variant.context.networks.features:
            for name in (network.array, ORIGINAL + network.array):
                arrays[name] = np.full((count, network.dim), np.nan, np.float32)
        return arrays

    def _batches(self, positions: np.ndarray) -> Iterator[tuple[list[int], Tensor]]:
        """Images of one shape, N x 3 x H x W in [-1, 1], with their rows among the positions.

        Each image is read once, and waits for others of its shape.
        """
        waiting: dict[tuple[int, ...], dict[int, np.ndarray]] = {}
        most = AT_ONCE.get(self.variant.context.device.type, AT_ONCE["cpu"])
        for row, index in enumerate(self.images.order[positions].tolist()):
            pixels = self.images.dataset.native(index, self.stride)
            height, width = pixels.shape[:2]
            if min(height, width) < self.smallest:
                continue
            alike = waiting.setdefault((height, width), {})
            alike[row] = pixels
            if (len(alike) + 1) * height * width > most:
                yield _batch(waiting.pop((height, width)))
        yield from map(_batch, waiting.values())

    def _of_batch(self, originals: Tensor) -> Arrays:
        variant, embed = self.variant, self.variant.context.codes.embed
        decoded = variant.decode_at_own_size(variant.system.encode(originals, variant.T))
        if decoded.shape != originals.shape:
            shapes = f"{tuple(decoded.shape)} for images {tuple(originals.shape)}"
            raise SystemFailed.at(variant.system.name, "decode", f"returned {shapes}")
        features = {ORIGINAL + name: values for name, values in embed(originals).items()}
        return {**pairs.scores_of(self.scores, decoded, originals), **embed(decoded), **features}

    # Numbers -------------------------------------------------------------------------------------

    def _kept(self, arrays: Arrays) -> tuple[NDArray[np.bool_], Selection, Place]:
        """Which images were measured, these images, and their place, which says how many were not."""
        is_kept = ~np.isnan(arrays["mse"])
        images = replace(self.images, order=self.images.order[is_kept])
        place = self.place.at(n=len(images))
        if left_out := len(is_kept) - len(images):
            total, side = len(is_kept), self.smallest
            place = place.noting(
                f"{left_out:,} of {total:,} images left out: a side of less than {side} px"
            )
        return is_kept, images, place

    def score_numbers(self, arrays: Arrays) -> Numbers:
        """The mean of each score."""
        is_kept, images, place = self._kept(arrays)
        described = {name: DESCRIBED[name] for name in ("ssim", "ssim_valid")}
        place = place.also(**described, **self.variant.context.networks.perceptual.describe())
        if not len(images):
            yield from place.missing(self.scores, "no image is large enough")
            return
        scores = {name: arrays[name][is_kept] for name in self.scores}
        yield from place.numbers(pairs.estimates(scores, images.units))

    def set_numbers(self, network: FeatureNetwork, arrays: Arrays) -> Numbers:
        """The distances of the reconstructions to their originals, as two sets."""
        context = self.variant.context
        is_kept, images, place = self._kept(arrays)
        decoded, originals = (
            side_of(context, images, features if is_kept.all() else features[is_kept])
            for features in (arrays[network.array], arrays[ORIGINAL + network.array])
        )
        of_sets = place.also(originals="the same images", **network.describe())
        yield from of_sets.numbers(set_estimates(context, network, OF_SETS, decoded, originals))


def _batch(alike: Mapping[int, np.ndarray]) -> tuple[list[int], Tensor]:
    return list(alike), in_floats(np.stack(list(alike.values())))
