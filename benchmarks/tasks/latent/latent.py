"""The space of codes: what moved codes are decoded to, and the spectrum of maps.

- Codes halfway to those of training images (iFID): images of a space that a generator can learn
  lie between others.
- Tokens replaced by near ones (pFID), for one codebook.
- Noise on every number of a code, and numbers of a few bits: how far the image moves.
- The spectrum of a map of codes, compared with the image's.
- Numbers of the codes alone, and how encoder and decoder follow a move of the image (`space`).

Each image keeps its x_T, which is drawn at random, as for new samples: only the semantic code is
moved. The method of each number is cited in `benchmarks.metrics.latent` and below.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, get_args

import numpy as np
from torch import Tensor

from benchmarks.core.images import semantic_of
from benchmarks.core.job import SetComparison
from benchmarks.core.measurement import Numbers
from benchmarks.core.sizes import LARGEST, Count, Number, Range, Solver, Steps, in_words
from benchmarks.metrics import latent
from benchmarks.metrics.protocols.printed import names_of
from benchmarks.metrics.sets import groups
from benchmarks.metrics.sets.groups import names_through, shown_in
from benchmarks.plugin import Arrays, Benchmark, Calls, Context, Measurement, Place, Variant
from benchmarks.systems.protocol.base import DECODE, SEMANTIC, System, parts_of
from benchmarks.systems.protocol.parts import tensors
from benchmarks.tasks.latent.moves import UNMOVED, Move, MovedCodes, MovedImages
from benchmarks.tasks.latent.space import FOLLOWS, SIX, SPACE, OfSpace, followed, of_space
from benchmarks.tasks.shared.distances import set_estimates, side_of
from diffae.system.files import Json
from reports.records.metrics import seen_through
from reports.records.record import Record
from reports.records.specs import TableSpec

BETWEEN, TOKENS = groups.HALFWAY, groups.TOKENS
ROBUST, SPECTRUM = "latent_robustness", "latent_spectrum"
AS_DECODED = "as decoded: neither clamped nor rounded to 8 bits"
SPHERICAL, LINEAR = "slerp", "linear"

Share = Annotated[float, Range(0, 1)]
Level = Annotated[float, Range(0, 1000)]
Bits = Annotated[int, Range(1, 16)]
Pixels = Annotated[int, Range(0, LARGEST)]


@dataclass(frozen=True)
class Sizes:
    """
    images      whose codes are moved halfway, and whose tokens are replaced
    training    images whose codes they are moved to
    moved       images to whose codes noise is added, and which are rounded
    noise       its standard deviation, in units of that of each number of the codes
    bits        of a rounded number
    share       of the tokens that is replaced (alpha of pFID)
    neighbours  nearest codes, of which one is drawn (delta of pFID)
    space       training images whose codes are measured alone
    pixels      that each of these counts of images has at most, but 64 images; 0: as many as there are
    numbers     of these codes
    steps       T of decoding
    solver      solver that takes these steps
    """

    images: Count = 96
    training: Count = 256
    moved: Count = 24
    noise: tuple[Level, ...] = (0.1, 0.3, 1.0)
    bits: tuple[Bits, ...] = (2, 4, 6)
    share: Share = 0.5
    neighbours: tuple[Number, ...] = (2, 8, 32)
    space: Count = 4_000
    pixels: Pixels = 0
    numbers: tuple[OfSpace, ...] = SIX
    steps: Steps = 10
    solver: Solver = "fast"


def run(context: Context, system: System) -> Iterator[Measurement]:
    sizes = context.sizes(Sizes)
    halves = context.with_training_images()
    variant = Variant.of(halves, system, sizes.solver, sizes.steps, inverts=False)
    images = halves.select("test", max(sizes.images, sizes.moved))
    codes = MovedCodes.of(variant, images, halves.select("train", sizes.training))
    yield _between(codes.first(sizes.images))
    yield _tokens(codes.first(sizes.images), sizes)
    yield _robustness(codes.first(sizes.moved), sizes)
    yield _spectrum(codes.first(sizes.images))
    yield of_space(context, system, sizes.numbers, sizes.space)
    yield followed(codes.first(sizes.moved))


def _place(codes: MovedCodes, table: str, **fields: Json) -> Place:
    about = {"training": len(codes.training), "x_T": "random", **fields}
    if isinstance(source := getattr(codes.variant.system, "source", None), Path):
        about["checkpoint"] = names_of(source)
    context, split, n = codes.variant.context, codes.images.split, len(codes.images)
    return Place(context, table, codes.variant, split=split, n=n, fields=about)


def _between(codes: MovedCodes) -> Measurement:
    """iFID: on a great circle to the nearest by cosine, as its code does by default, and on a line.

    As in its code, Inception is given what is decoded neither clamped nor rounded to 8 bits.
    """
    variant = codes.variant
    networks = variant.context.networks.features
    floats = [network.network for network in networks if network.takes_floats]
    if floats:
        codes = replace(codes, variant=replace(variant, system=variant.system.unclamped()))
    moves = {UNMOVED: codes.unmoved(), SPHERICAL: codes.halfway(True), LINEAR: codes.halfway(False)}
    drawn = "one, by a softmax of minus the mean squared difference"
    place = _place(codes, BETWEEN, candidates=latent.CANDIDATES, drawn=drawn, place=0.5)
    return _distances(place, codes, moves, floats)


def _tokens(codes: MovedCodes, sizes: Sizes) -> Measurement:
    """pFID, of all images (beta = 1). Its published grid of alpha and delta is not known."""
    moves = {f"{n} nearest": codes.perturbed(sizes.share, n) for n in sizes.neighbours}
    return _distances(_place(codes, TOKENS, alpha=sizes.share, beta=1), codes, moves)


def _distances(
    place: Place, codes: MovedCodes, moves: Mapping[str, Move], floats: Sequence[str] = ()
) -> Measurement:
    """The distances of what is decoded after each move to the originals, by every network.

    The networks `floats` are given what is decoded as it is, the others 8 bits.
    """
    context, images, metrics = place.context, codes.images, shown_in(place.table)
    networks = context.networks.features
    features = [context.codes.real_features(images, network) for network in networks]
    decided = place.also(networks=context.codes.described(), floats=list(floats))

    def score(made: Tensor, unmoved: Tensor) -> Arrays:
        return context.codes.embed(made, bool(floats))

    moved = MovedImages(decided, codes, moves, score, Calls(features=1))

    def numbers(*arrays: Arrays) -> Numbers:
        of_originals, of_moved = arrays[: len(features)], arrays[len(features) :]
        for network, of_network in zip(networks, of_originals, strict=True):
            as_decoded = {"images": AS_DECODED} if network.network in floats else {}
            about = {"originals": "the same images", **network.describe(), **as_decoded}
            originals = side_of(context, images, of_network["features"])
            taken = place.also(**about).at(unclamped=bool(as_decoded))
            for name, at, why in moved.by_move(taken, *of_moved):
                if why:
                    yield from at.missing(names_through(network.network, metrics).values(), why)
                else:
                    made = side_of(context, images, of_moved[0][f"{name} {network.array}"])
                    estimates = set_estimates(context, network, metrics, made, originals)
                    yield from at.numbers(estimates)
        moved.draw(*of_moved)

    count, n = len(moved.possible) * len(networks), len(images)
    compared = [SetComparison("kernel distance", n, n, count)] if count else []
    return Measurement([*features, *moved.jobs], numbers, compared)


def _robustness(codes: MovedCodes, sizes: Sizes) -> Measurement:
    """The mean perceptual distance by which the image of a code moves."""
    network = codes.variant.context.networks.perceptual
    moves = {f"noise {in_words(level)}": codes.noised(level) for level in sizes.noise}
    moves |= {f"{bits} bits": codes.rounded(bits) for bits in sizes.bits}
    about = {
        "noise": "in units of each number's standard deviation over training images",
        "rounding": f"evenly over the mean +- {latent.RANGE:g} standard deviations",
        "to": "what is decoded from the code as it is, with the same x_T",
        **network.describe(),
    }
    place, metric = _place(codes, ROBUST, **about), network.metric_name

    def score(made: Tensor, unmoved: Tensor) -> Arrays:
        return {metric: network(made, unmoved).cpu().numpy()}

    moved = MovedImages(place, codes, moves, score, Calls(perceptual=1))

    def numbers(*arrays: Arrays) -> Numbers:
        for name, at, why in moved.by_move(place, *arrays):
            if why:
                yield from at.missing([metric], why)
            else:
                yield from at.means(codes.images, {metric: arrays[0][f"{name} {metric}"]})
        moved.draw(*arrays)

    return Measurement(moved.jobs, numbers)


def _spectrum(codes: MovedCodes) -> Measurement:
    """The mean divergence of each map of the code."""
    images, system = codes.images, codes.variant.system
    power = "DCT-II of mean-centred maps, without the constant; log(1 + mean of a bin)"
    place = _place(codes, SPECTRUM, bins=latent.BINS, power=power, move="")
    place = place.at(measured=Variant(place.context, system, None))
    blurred, sharp = (
        place.also(images=f"{blur}, bicubic to the map's side")
        for blur in (f"blurred (sigma {latent.BLUR:g}, 7 px)", "not blurred")
    )
    maps = [part for part in parts_of(system) if len(part.shape) == 3]
    if not maps or maps[0].codebook is not None:
        missing = partial(blurred.missing, ["spectrum_kl"], "its code is no map of numbers")
        return Measurement([], missing)

    def compute(positions: np.ndarray, arrays: Arrays) -> Arrays:
        seen = images.seen_by(system).batch(positions)
        return {
            str(number): latent.spectrum_divergence(seen, codes_map)
            for number, codes_map in enumerate(_maps(arrays), 1)
        }

    def numbers(scores: Arrays, arrays: Arrays) -> Numbers:
        for number, codes_map in enumerate(_maps(arrays), 1):
            setting = f"{number}, {codes_map.shape[2]} px" if len(maps) > 1 else ""
            of_map = (blurred if latent.blurs(codes_map) else sharp).at(setting=setting)
            yield from of_map.means(images, {"spectrum_kl": scores[str(number)]})

    spectra = place.job("spectrum", "spectra", images, compute, rows_of=[codes.of_images])
    return Measurement([spectra, codes.of_images], numbers)


def _maps(codes: Arrays) -> list[Tensor]:
    return [numbers for numbers in tensors(semantic_of(codes)) if numbers.ndim == 4]


def _spec(name: str, title: str, caption: str, metrics: tuple[str, ...], order: int) -> TableSpec:
    of_maps = name in (SPECTRUM, SPACE, FOLLOWS)
    return TableSpec(
        name=name,
        title=title,
        caption=caption,
        rows=("system", "setting") if of_maps else ("system", "steps", "solver", "calls"),
        columns=("metric",) if of_maps else ("metric", "setting"),
        alike=("setting",) if name == FOLLOWS else (),
        setting_header="map" if of_maps else "setting",
        metrics=metrics,
        headline=metrics[:1],
        headline_settings=(SPHERICAL,) if name == BETWEEN else ("noise 0.3", "8 nearest", ""),
        order=order,
    )


def _is_drawn(row: Record) -> bool:
    """Whether a move is drawn: neighbours, noise and tokens are, what is rounded is not."""
    is_fixed = row.setting == UNMOVED or row.setting.endswith(" bits")
    return row.table not in (SPACE, FOLLOWS) and not is_fixed


BENCHMARK = Benchmark(
    name="latent",
    headline=lambda context: seen_through("ikid", context.networks.features[0].network),
    needs=frozenset({SEMANTIC, DECODE}),
    random=_is_drawn,
    run=run,
    sizes=Sizes,
    tables=(
        _spec(
            BETWEEN,
            "Codes halfway to codes of training images (iFID)",
            "Distance between test images and what is decoded from the middle between each one's code and a near code of "
            "a training image: one of the ten nearest by cosine on a great circle, or by distance on a line. Beside it "
            "what is decoded from the code as it is. x_T is random.",
            shown_in(BETWEEN),
            62,
        ),
        _spec(
            TOKENS,
            "Tokens replaced by near ones (pFID)",
            "Distance between test images and what is decoded when a share of the tokens (setting latent.share) is "
            "replaced by one of the codes nearest to the encoder's output. The published grid of settings is not known.",
            shown_in(TOKENS),
            63,
        ),
        _spec(
            ROBUST,
            "Codes with noise, and of a few bits a number",
            "Perceptual distance between what is decoded from a moved code and from the code as it is. Noise is in units "
            "of the standard deviation of each number over training images; rounded numbers take 2^bits values over "
            "+- 3 of them.",
            ("lpips",),
            64,
        ),
        _spec(
            SPECTRUM,
            "Spectra of maps of codes",
            "KL divergence between the shares of 16 bands of frequency in the power of an image and of its map of codes.",
            ("spectrum_kl",),
            65,
        ),
        _spec(
            SPACE,
            "Codes alone",
            "Numbers of the codes of training images that need no decoder, after normalisation by channel; of white codes "
            "VIV is 1.571. `diffae-bench docs metrics` says how each can be cheated.",
            tuple(get_args(OfSpace)),
            68,
        ),
        _spec(
            FOLLOWS,
            "Equivariance",
            "How far the code of a moved image is from the moved code of the image, and what is decoded from a moved code "
            "from the moved image: 0 exact, 1 as far as unrelated ones. A vector should stay as it is.",
            ("equivariance",),
            69,
        ),
    ),
)
