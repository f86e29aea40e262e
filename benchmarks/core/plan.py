"""What a benchmark would compute, in network calls: the work that --dry-run adds up.

A benchmark's `plan` yields `Work`: so many images, so many calls of each network for every one of
them. Work that several benchmarks share (the codes of the same images at the same T, the samples of
the same seed) has the same `shared` and is counted once, with the largest number of images. Not
counted are the drawing of pictures, and the incomplete last chunk that is computed twice when two
benchmarks use different numbers of images.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from benchmarks.core.images import THUMBNAIL, encoding
from benchmarks.systems.protocol import parts
from benchmarks.systems.protocol.base import SEMANTIC, STOCHASTIC, System, parts_of
from diffae.diffusion.scheme import find
from reports.tables.numbers import solver_name

PAPERS = find("ddim")
MANY = 10_000**2  # pairs of images: to compare fewer takes seconds, of which a dry run says nothing


@dataclass(frozen=True)
class Calls:
    """Network calls: of the system's encoder, decoder and latent DDIM, and of the metrics' networks.

    And `pairs` of images of which the features are compared: they are no calls, and take time alone.
    """

    encoder: int = 0
    decoder: int = 0
    latent: int = 0
    features: int = 0
    perceptual: int = 0
    face: int = 0
    pairs: int = 0

    @property
    def of_networks(self) -> "Calls":
        """The calls alone, without `pairs`."""
        return replace(self, pairs=0)

    def times(self, count: int) -> "Calls":
        """Each number times `count`."""
        return Calls(*(count * getattr(self, field.name) for field in fields(self)))

    def plus(self, other: "Calls") -> "Calls":
        """Each number plus that of `other`."""
        return Calls(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Work:
    """`images` images with `calls` for each, of which `bytes` per image stay on disk.

    Work of one `shared` key is done once for each system, or once in all if it looks at `real`
    images alone.
    """

    what: str
    images: int
    calls: Calls
    steps: int | None = None
    bytes: int = 0
    shared: str = ""
    real: bool = False


def comparisons(count: int, of: str, n: int, m: int) -> list[Work]:
    """Comparisons of all pairs of n and m images, so many of them; none where they take seconds."""
    what = f"{of} of {n:,} and {m:,} images"
    what = f"{count} x {what}" if count > 1 else what
    return [Work(what, n, Calls(pairs=count * m))] if n * m >= MANY else []


def by_solver(solver: object) -> str:
    """Text for the description of work that is done by a solver that is not the paper's."""
    name = str(solver or PAPERS)
    return "" if name == str(PAPERS) else f", by {solver_name(name)}"


def decode_calls(system: System, steps: int | None) -> int | None:
    """Network calls of one decoding; None where decoding takes no steps."""
    if steps is None or not system.iterative:
        return None
    return steps if system.solver is None else system.solver.decode_calls(steps)


def encode_calls(system: System, steps: int | None) -> int | None:
    """Network calls of one inversion; None where it takes no steps."""
    if steps is None or not system.iterative:
        return None
    return steps if system.solver is None else system.solver.encode_calls(steps)


# ----------------------------------------------------------------------------------------------
# Shared work, for plug-ins that say themselves what they would compute


def network_calls(system: System, steps: int | None) -> int:
    """Decoder calls that one decoding takes."""
    return decode_calls(system, steps) or 1


def codes(system: System, split: str, images: int, steps: int | None) -> Work:
    """Full codes of real images, kept in the store."""
    semantic, inverts = (name in system.capabilities for name in (SEMANTIC, STOCHASTIC))
    inversion = (encode_calls(system, steps) or 1) if inverts else 0
    calls = Calls(encoder=int(semantic or not inverts), decoder=inversion)
    shared = f"codes {split} {steps} {system.solver}"
    size = 4 * (system.latent_dim - system.semantic_dim + _kept(system))
    what = encoding(system) + by_solver(system.solver)
    return Work(what, images, calls, steps, size, shared)


def semantic_codes(system: System, split: str, images: int) -> Work:
    """Semantic codes alone, kept in the store."""
    size, shared = 4 * _kept(system), f"semantic {split}"
    return Work(f"z_sem of {split}", images, Calls(encoder=1), None, size, shared)


def _kept(system: System) -> int:
    """Numbers of a semantic code that the store keeps: one for each token."""
    return (parts.kept(parts_of(system)) or system.semantic_dim) if system.semantic_dim else 0


def real_features(split: str, images: int, dim: int) -> Work:
    """Features of real images, kept in the store."""
    what, shared = f"features of {split}", f"features {split}"
    return Work(what, images, Calls(features=1), None, 4 * dim, shared, real=True)


def new_images(system: System, images: int, steps: int | None, dim: int) -> Work:
    """Samples with their features and thumbnails, kept in the store."""
    count = network_calls(system, steps)
    calls = Calls(decoder=count, latent=count if system.semantic_dim else 0, features=1)
    size = 4 * (system.semantic_dim + dim) + 3 * THUMBNAIL**2
    shared = f"samples {steps} {system.solver}"
    return Work(f"samples{by_solver(system.solver)}", images, calls, steps, size, shared)


def distinct(work: Iterable[tuple[str, str, Work]]) -> list[tuple[str, str, Work]]:
    """(benchmark, system, work) with shared work only once: at its first entry, with its largest
    number of images.
    """
    found: dict[object, tuple[str, str, Work]] = {}
    for number, (benchmark, system, item) in enumerate(work):
        key = ("" if item.real else system, item.shared) if item.shared else number
        first = found.setdefault(key, (benchmark, system, item))
        if item.images > first[2].images:
            found[key] = (*first[:2], item)
    return list(found.values())
