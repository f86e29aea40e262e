"""The space of codes: what moved codes are decoded to, and the spectrum of maps.

- Codes halfway to those of training images (iFID): images of a space that a generator can learn
  lie between others.
- Tokens replaced by near ones (pFID), for one codebook.
- Noise on every number of a code, and numbers of a few bits: how far the image moves.
- The spectrum of a map of codes, compared with the image's.

Each image keeps its x_T, which is drawn at random, as for new samples: only the semantic code is
moved. The method of each number is cited in `benchmarks.metrics.latent` and below.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.benchmark import Benchmark
from benchmarks.core.context import Context
from benchmarks.core.plan import (
    Calls,
    Work,
    by,
    network_calls,
    real_features,
    semantic_codes,
)
from benchmarks.core.sizes import Count, Number, Range, Solver, Steps
from benchmarks.core.solving import Taken
from benchmarks.core.store import CHUNK, Arrays
from benchmarks.metrics import latent
from benchmarks.metrics.frechet_jackknife import BLOCKS, Side
from benchmarks.metrics.protocols.published import attach, names_of
from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems.protocol.base import DECODE, SEMANTIC, System
from benchmarks.systems.protocol.parts import tensors
from benchmarks.tasks.latent.moves import Codes, Move, decoded
from benchmarks.tasks.shared.distances import paired_rows
from benchmarks.tasks.shared.rows import in_words, means
from diffae.sheet import Sheet
from reports.records.metrics import seen_through
from reports.records.record import Record
from reports.records.specs import TableSpec

BETWEEN, TOKENS = "latent_interpolation", "latent_tokens"
ROBUST, SPECTRUM = "latent_robustness", "latent_spectrum"
IFID, PFID = ({"rkid": f"{p}kid", "rfid": f"{p}fid"} for p in "ip")
UNMOVED = "as encoded"
AS_DECODED = "as decoded: neither clamped nor rounded to 8 bits"
SPHERICAL, LINEAR = "slerp", "linear"

Share = Annotated[float, Range(0, 1)]
Level = Annotated[float, Range(0, 1000)]
Bits = Annotated[int, Range(1, 16)]


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
    steps: Steps = 10
    solver: Solver = "fast"


def run(context: Context, system: System) -> Iterator[Record]:
    sizes = context.sizes(Sizes)
    system, steps = system.solving(sizes.solver), sizes.steps if system.iterative else None
    images = context.select("test", max(sizes.images, sizes.moved))
    codes = Codes.of(context, system, images, context.select("train", sizes.training))
    yield from _between(codes.first(sizes.images), steps)
    yield from _tokens(codes.first(sizes.images), steps, sizes)
    yield from _robustness(codes.first(sizes.moved), steps, sizes)
    yield from _spectrum(codes.first(sizes.images))


def _between(codes: Codes, steps: int | None) -> Iterator[Record]:
    """iFID: on a great circle to the nearest by cosine, as its code does by default, and on a line.

    As in its code, Inception is given what is decoded neither clamped nor rounded to 8 bits.
    """
    floats = [
        network.network for network in codes.context.networks.features if network.takes_floats
    ]
    if floats:
        codes = replace(codes, system=codes.system.unclamped())
    moves: dict[str, Callable[[], Move]] = {
        UNMOVED: lambda: codes.unmoved,
        SPHERICAL: partial(codes.halfway, True),
        LINEAR: partial(codes.halfway, False),
    }
    drawn = "one, by a softmax of minus the mean squared difference"
    fields = {"candidates": latent.CANDIDATES, "drawn": drawn, "place": 0.5}
    yield from _distances(codes, steps, BETWEEN, IFID, moves, fields, floats)


def _tokens(codes: Codes, steps: int | None, sizes: Sizes) -> Iterator[Record]:
    """pFID, of all images (beta = 1). Its published grid of alpha and delta is not known."""
    moves = {f"{n} nearest": partial(codes.perturbed, sizes.share, n) for n in sizes.neighbours}
    fields = {"alpha": sizes.share, "beta": 1}
    yield from _distances(codes, steps, TOKENS, PFID, moves, fields)


def _distances(
    codes: Codes,
    steps: int | None,
    table: str,
    metrics: Mapping[str, str],
    moves: Mapping[str, Callable[[], Move]],
    fields: Mapping[str, Any],
    floats: Sequence[str] = (),
) -> Iterator[Record]:
    """The distances of what is decoded after each move to the originals, by every network.

    The networks `floats` are given what is decoded as it is, the others 8 bits.
    """
    context, images = codes.context, codes.images
    ready, reasons = _ready(moves)
    described = {"features": context.codes.described(), **fields}
    if floats:
        described["as decoded"] = list(floats)
    found = _decoded(
        codes,
        steps,
        table,
        ready,
        lambda made, _: context.codes.embed(made, bool(floats)),
        described,
    )
    blocks, units = images.blocks(BLOCKS), images.units("blocks")

    def side(features: np.ndarray) -> Side:
        return Side.of(features, blocks, units, context.device)

    for network in context.networks.features:
        names = {of: seen_through(name, network.network) for of, name in metrics.items()}
        originals = side(context.codes.real_features(images, network))
        about = {**fields, "originals": "the same images", **network.describe()}
        if network.network in floats:
            about["images"] = AS_DECODED
        for move in moves:
            row = _row(codes, steps, table, move, about)
            if move in reasons:
                yield from (row(name, None, note=reasons[move]) for name in names.values())
            else:
                made = side(found[f"{move} {network.array}"])
                yield from paired_rows(context, row, names, made, originals)


def _robustness(codes: Codes, steps: int | None, sizes: Sizes) -> Iterator[Record]:
    """The mean perceptual distance by which the image of a code moves."""
    network = codes.context.networks.perceptual
    moves = {f"noise {in_words(level)}": partial(codes.noised, level) for level in sizes.noise}
    moves |= {f"{bits} bits": partial(codes.rounded, bits) for bits in sizes.bits}
    ready, reasons = _ready(moves)

    def score(made: Tensor, unmoved: Tensor) -> Arrays:
        return {"distance": network(made, unmoved).cpu().numpy()}

    about = {
        "noise": "in units of each number's standard deviation over training images",
        "rounding": f"evenly over the mean +- {latent.RANGE:g} standard deviations",
        "to": "what is decoded from the code as it is, with the same x_T",
        **network.describe(),
    }
    found = _decoded(codes, steps, ROBUST, ready, score, about)
    for move in moves:
        row = _row(codes, steps, ROBUST, move, about)
        if move in reasons:
            yield row(network.metric_name, None, note=reasons[move])
        else:
            scores = {network.metric_name: found[f"{move} distance"]}
            yield from means(row, codes.images, scores)


def _ready(moves: Mapping[str, Callable[[], Move]]) -> tuple[dict[str, Move], dict[str, str]]:
    """The moves that these codes allow, and why they do not allow the others, by name."""
    ready, reasons = {}, {}
    for name, prepared in moves.items():
        try:
            ready[name] = prepared()
        except NotAvailable as reason:
            reasons[name] = str(reason)
    return ready, reasons


def _decoded(
    codes: Codes,
    steps: int | None,
    table: str,
    moves: Mapping[str, Move],
    score: Callable[[Tensor, Tensor], Arrays],
    described: Mapping[str, Any],
) -> Arrays:
    """The scores after each move, and a sheet of the first images."""
    if not moves:
        return {}
    found = decoded(codes, moves, steps, score, described)
    title = codes.system.title
    sheet = Sheet(
        f"{title}: moved codes",
        torch.from_numpy(found["preview"]).unbind(),
        columns=("input", UNMOVED, *(name for name in moves if name != UNMOVED)),
        caption="What is decoded from the codes of the first test images after each move.",
        about={"benchmark": "latent", "system": title, "steps": steps},
    )
    codes.context.save_sheet(f"{table}-{codes.system.name}.png", sheet)
    return found


def _row(
    codes: Codes, steps: int | None, table: str, move: str, fields: Mapping[str, Any]
) -> Callable[..., Record]:
    """`context.record` with the arguments before the metric, and the published iFID beside ours."""
    taken, context, n = Taken(codes.system, steps), codes.context, len(codes.images)
    about = {"training": len(codes.training), "move": move, "x_T": "random", **fields}
    if isinstance(source := getattr(codes.system, "source", None), Path):
        about["checkpoint"] = names_of(source)
    protocol = context.protocol("latent", n=n, **taken.protocol, **about)
    of = {"split": codes.images.split, "setting": move, "n": n, "protocol": protocol, **taken.row}

    def row(*given: Any, **named: Any) -> Record:
        record = context.record("latent", table, codes.system.title, *given, **{**of, **named})
        return attach(record, protocol.fields) if move == SPHERICAL else record

    return row


def _spectrum(codes: Codes) -> Iterator[Record]:
    """The mean divergence of each map of the code."""
    images, maps = codes.images, [one for one in tensors(codes.of_images) if one.ndim == 4]
    fields = {
        "bins": latent.BINS,
        "power": "DCT-II of mean-centred maps, without the constant; log(1 + mean of a bin)",
    }
    blurred, sharp = (
        _row(codes, None, SPECTRUM, "", {**fields, "images": f"{how}, bicubic to the map's side"})
        for how in (f"blurred (sigma {latent.BLUR:g}, 7 px)", "not blurred")
    )
    if not maps or not maps[0].is_floating_point():
        yield blurred("spectrum_kl", None, note="its code is no map of numbers")
        return
    seen = images.seen_by(codes.system)
    pieces = np.array_split(np.arange(len(images)), -(-len(images) // CHUNK))
    for number, one in enumerate(maps, 1):
        scores = [latent.spectrum_divergence(seen.batch(of), one[of]) for of in pieces]
        setting = f"{number}, {one.shape[2]} px" if len(maps) > 1 else ""
        row = blurred if latent.blurs(one) else sharp
        yield from means(row, images, {"spectrum_kl": np.concatenate(scores)}, setting=setting)


def plan(context: Context, system: System) -> Iterator[Work]:
    sizes = context.sizes(Sizes)
    system, steps = system.solving(sizes.solver), sizes.steps if system.iterative else None
    images, moved = (len(context.select("test", n)) for n in (sizes.images, sizes.moved))
    training = len(context.select("train", sizes.training))
    dim, decode = context.networks.feature_dim, network_calls(system, steps)
    yield real_features("test", images, dim)
    yield semantic_codes(system, "test", max(images, moved))
    yield semantic_codes(system, "train", training)
    count = 3 + len(sizes.neighbours) * bool(system.codebooks)
    calls = Calls(decoder=count * decode, features=count)
    yield Work(f"codes halfway to others{by(system)}", images, calls, steps, 4 * dim * count)
    count = len(sizes.noise) + len(sizes.bits)
    calls = Calls(decoder=(count + 1) * decode, perceptual=count)
    yield Work(f"codes with noise, and rounded{by(system)}", moved, calls, steps)


def _headline(context: Context) -> str:
    return seen_through("ikid", context.networks.features[0].network)


def _spec(name: str, title: str, caption: str, metrics: tuple[str, ...], order: int) -> TableSpec:
    of_maps = name == SPECTRUM
    return TableSpec(
        name=name,
        title=title,
        caption=caption,
        rows=("system", "setting") if of_maps else ("system", "steps", "solver", "calls"),
        columns=("metric",) if of_maps else ("metric", "setting"),
        setting_header="map",
        metrics=metrics,
        headline=metrics[:1],
        headline_settings=(SPHERICAL,) if name == BETWEEN else ("noise 0.3", "8 nearest", ""),
        order=order,
    )


BENCHMARK = Benchmark(
    name="latent",
    table=BETWEEN,
    headline=_headline,
    needs=frozenset({SEMANTIC, DECODE}),
    run=run,
    plan=plan,
    sizes=Sizes,
    tables=(
        _spec(
            BETWEEN,
            "Codes halfway to codes of training images (iFID)",
            "Distance between test images and what is decoded from the middle between each one's code and a near code of "
            "a training image: one of the ten nearest by cosine on a great circle, or by distance on a line. Beside it "
            "what is decoded from the code as it is. x_T is random.",
            ("ikid", "ifid"),
            62,
        ),
        _spec(
            TOKENS,
            "Tokens replaced by near ones (pFID)",
            "Distance between test images and what is decoded when a share of the tokens (setting latent.share) is "
            "replaced by one of the codes nearest to the encoder's output. The published grid of settings is not known.",
            ("pkid", "pfid"),
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
    ),
)
