"""Check, before a system is measured, that its results in the run's precision are close to those
in float32.

A few test images go through all that a system is capable of, in float32 and in the run's precision:
they are encoded and their codes decoded, by every solver with the fewest and with the most steps
that the run's tasks ask of it (few, because a long step makes the most of an error; many, because
errors may add up); new codes are sampled, and new images by a system that cannot decode. What comes
out is compared. A system that deviates by more than `TOLERANCES` fails.

In bfloat16, on a CPU with AMX and at T from 2 to 100, models of portraits (the packaged ones, and
one that predicts the noise) deviate

    images             by up to 1.3 grey levels, and the noise-predicting model by 2.6 at T < 10; by 0.1 to 0.3 at T = 100
    ssim               by up to 2.0e-3 at T = 10 or fewer, by 2e-5 or less at T = 100
    semantic, sampled  by 0.7 % of how far codes are apart; the random encoder by 2 %, pixels + PCA by 0.2 %
    x_T                by 7 %: where an image is flat, inversion amplifies small differences

and each tolerance is one and a half to three times that. ImageNet features (`timm`) deviate by 12
to 18 %, and single attributes' AUROC with them by up to 0.008: they are refused. `diffae-bench docs
numbers` has more.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.images import Selection
from benchmarks.core.profiles import Profile
from benchmarks.core.registry import SHARED_SIZES
from benchmarks.core.sizes import steps_of
from benchmarks.core.store import Arrays, Computation
from benchmarks.metrics.ssim import ssim
from benchmarks.runtime.errors import SystemFailed
from benchmarks.runtime.precision import precision
from benchmarks.systems.protocol import base, parts
from benchmarks.systems.protocol.base import Code, System
from benchmarks.systems.protocol.parts import Semantic
from diffae.diffusion import noise

EXACT = "float32"
IMAGES = 4  # the worst of them deviates by a third more than the mean
LEVELS = 127.5  # grey levels of 8 bits in a unit of [-1, 1]
FAR = 20.0  # grey levels from the original; further off, the tolerance is larger in proportion
# The timestep of an image to be predicted, by a system that makes images in no other way.
HALFWAY = 500
# The spread of codes as a share of their size: codes that are nearer to each other are one.
LEAST_SPREAD = 0.01

# How far a system may deviate from float32, by what is compared, and how a deviation is said. Images:
# root mean square of the worst one (4 is a PSNR of 36 dB, see FAR); codes: as a share of how far those
# of different images are apart. No packaged system has tokens: their tolerance is not measured.
KINDS: Mapping[str, tuple[float, str]] = {
    "images": (4.0, "images by {:.2g} grey levels"),
    "samples": (4.0, "samples by {:.2g} grey levels"),  # images that have no original
    "ssim": (0.005, "SSIM by {:.2g}"),  # of the mean SSIM to the originals
    "semantic": (0.05, "semantic codes by {:.2g} of their spread"),
    "sampled": (0.05, "sampled codes by {:.2g} of their spread"),
    "x_T": (0.2, "x_T by {:.2g} of its spread"),
    "tokens": (0.05, "{:.2g} of the tokens"),
}
TOLERANCES: Mapping[str, float] = {what: limit for what, (limit, _) in KINDS.items()}

Deviations = dict[str, dict[str, float]]  # by the steps ("T = 10, ddim"), then by what is compared
Outputs = Mapping[str, Semantic]
Made = Iterator[tuple[str, Semantic]]
Asked = tuple[str | None, int | None]  # a solver by name (None: the system's own way) and T


def measured(context: Context, system: System, tasks: Iterable[str]) -> Deviations:
    """How far `system` deviates from float32 in the run's precision.

    Raises SystemFailed if the system cannot be had in one of the two.
    """
    found: Deviations = {}
    for way, computation in computations(context, system, tasks).items():
        arrays = context.store.read(computation)
        exact, other = (_outputs(arrays, name) for name in (EXACT, context.precision))
        found[way] = deviations(exact, other, torch.from_numpy(arrays["originals"]))
    return found


def computations(context: Context, system: System, tasks: Iterable[str]) -> dict[str, Computation]:
    """What the system makes of the images in both precisions, by the steps that it takes."""
    images, found = context.select("test", IMAGES), dict[str, Computation]()
    asked = asked_of(context.profile, tasks) if system.iterative else []
    for solver, T in asked or [(None, None)]:
        solving = system if solver is None else system.solving(solver)
        by = "" if solving.solver is None else f", {solving.solver}"
        # the one that inverts images: the system itself where the solver cannot invert
        inverting = solving if solving.solver is None or solving.solver.inverts else system
        key = context.codes.key("precision", solving, images)
        key |= {"steps": T, "images": len(images), "seed": context.seed}
        compute = partial(_in_both, context, inverting, solving, images.seen_by(system), T or 1)
        what = f"{context.precision} against {EXACT}"
        found[f"T = {T}{by}" if T else ""] = Computation(what, key, len(images), compute, T)
    return found


def refuse_beyond(found: Deviations, system: System, name: str) -> None:
    """Raise SystemFailed, naming the worst deviation, if `system` deviates further in precision
    `name` than is tolerated.
    """
    way = max(found, key=lambda way: max(_shares(found[way]).values(), default=0.0))
    if beyond := [what for what, share in _shares(found[way]).items() if share > 1]:
        said = ", ".join(in_words(what, found[way][what]) for what in beyond)
        at = f" at {way}" if way else ""
        reason = f"deviates from float32{at}: {said}; use --precision float32"
        raise SystemFailed.at(system.name, name, reason)


def _shares(of: Mapping[str, float]) -> dict[str, float]:
    """Deviations divided by their tolerances."""
    return {what: of[what] / limit for what, limit in TOLERANCES.items() if what in of}


def in_words(what: str, value: float, share: float = 1.0) -> str:
    """A deviation, and that share of its tolerance."""
    limit, words = KINDS[what]
    return f"{words.format(value)} (tolerated: {share * limit:g})"


def summary(found: Deviations) -> str:
    """The largest deviation of each kind, as text."""
    of = {what: [way[what] for way in found.values() if what in way] for what in KINDS}
    return ", ".join(in_words(what, max(values)) for what, values in of.items() if values)


def asked_of(profile: Profile, tasks: Iterable[str]) -> list[Asked]:
    """The solvers that the settings of these tasks name, each with its smallest and its largest
    number of steps.
    """
    steps: dict[str | None, set[int]] = {}
    for name in (*SHARED_SIZES, *tasks):
        if (sizes := profile.sections.get(name)) is not None:
            for _, named_by, T in steps_of(sizes):
                solver = getattr(sizes, named_by) if named_by else None
                steps.setdefault(solver, set()).add(T)
    return [(solver, T) for solver, of in steps.items() for T in sorted({min(of), max(of)})]


# ----------------------------------------------------------------------------------------------
# The same images in both precisions


def _in_both(
    context: Context, system: System, solving: System, seen: Selection, T: int, at: np.ndarray
) -> Arrays:
    """The images, and all that is made of them: `system` encodes them, `solving` does the rest.

    PyTorch's generator is seeded alike for each precision.
    """
    images = seen.batch(at)
    devices = [context.device] if context.device.type == "cuda" else []
    found = {"originals": images.cpu().numpy()}
    for name in (EXACT, context.precision):
        try:
            with precision(name), torch.random.fork_rng(devices):
                torch.manual_seed(0)
                code = any_code(system, images, T, context.seed)
                for what, made in _made(solving, code, images, T, context.seed):
                    found |= parts.to_arrays(made, f"{name} {what}")
        except SystemFailed as failure:
            if name == EXACT:
                raise
            hint = f"in {name}, and not in float32: use --precision float32"
            raise SystemFailed(f"{failure} ({hint})") from failure
    return found


def _outputs(arrays: Arrays, name: str) -> Outputs:
    """What `_in_both` made in precision `name`."""
    found = {what: parts.from_arrays(arrays, f"{name} {what}") for what in TOLERANCES}
    return {what: made for what, made in found.items() if made is not None}


def _made(system: System, code: Code, images: Tensor, steps: int, seed: int) -> Made:
    can, indices = system.capabilities, range(len(images))
    if code.semantic is not None:
        yield "semantic", code.semantic
    if code.x_T is not None:
        yield "x_T", code.x_T
    if base.SAMPLE_LATENTS in can:
        yield "sampled", system.sample_latents(indices, seed, steps)
    if base.DECODE in can:
        yield ("images" if base.ENCODE in can else "samples"), system.decode(code, steps)
    elif base.SAMPLE in can:
        yield "samples", system.sample(indices, seed, steps)
    elif base.PREDICT_X0 in can:
        eps = noise.normal(seed, "x_T", indices, tuple(images.shape[1:]))
        x_t = system.add_noise(images, HALFWAY, eps)
        yield "images", system.predict_x0(x_t, HALFWAY, code.semantic)


def any_code(system: System, images: Tensor, steps: int, seed: int) -> Code:
    """A code to decode: that of the images where the system can encode them fully, else one made
    from the parts it has.
    """
    can, indices = system.capabilities, range(len(images))
    if base.ENCODE in can:
        return system.encode(images, steps)
    semantic: Semantic | None = None
    if base.SEMANTIC in can:
        semantic = system.encode_semantic(images)
    elif base.SAMPLE_LATENTS in can:
        semantic = system.sample_latents(indices, seed, steps)
    return Code(semantic, system.random_x_T(indices, seed) if base.STOCHASTIC in can else None)


# ----------------------------------------------------------------------------------------------
# How far they are apart


def deviations(exact: Outputs, other: Outputs, originals: Tensor) -> dict[str, float]:
    """How far `other` is from `exact`, by what is compared: the names and units of `TOLERANCES`."""
    found: dict[str, float] = {}
    for name in exact:
        for a, b in zip(parts.tensors(exact[name]), parts.tensors(other[name]), strict=True):
            for what, value in _apart(name, a.cpu(), b.cpu(), originals):
                found[what] = max(value, found.get(what, 0.0))
    return found


def _apart(name: str, a: Tensor, b: Tensor, originals: Tensor) -> Iterator[tuple[str, float]]:
    if not a.is_floating_point():
        yield "tokens", float((a != b).double().mean())
        return
    a, b = a.double(), b.double()
    if name not in ("images", "samples"):
        yield name, _share(a, b)
        return
    moved, of = _levels(b - a), torch.ones(len(a))
    if name == "images" and a.shape == originals.shape:
        of = (_levels(a - originals) / FAR).clamp(min=1)
        yield "ssim", float((ssim(a, originals) - ssim(b, originals)).mean().abs())
    yield name, float((moved / of).max())


def _levels(difference: Tensor) -> Tensor:
    """Root mean squares [N] of differences N x 3 x S x S of images in [-1, 1], in grey levels."""
    return LEVELS * difference.square().flatten(1).mean(1).sqrt()


def _share(a: Tensor, b: Tensor) -> float:
    """How far `b` [N, ...] is from `a`, as a share of how far the N of `a` are from their mean."""
    size, moved = float(a.norm()), float((a - b).norm())
    spread = float((a - a.mean(0)).norm()) if len(a) > 1 else size
    scale = max(spread, LEAST_SPREAD * size)
    return moved / scale if scale else float(moved > 0)
