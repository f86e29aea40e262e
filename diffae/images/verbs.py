"""The functions of this package: a model and tensors in, tensors out.

Images are N x 3 x S x S in [-1, 1] on the model's device, z_sem N x d. Random numbers come from
(`seed`, number), as in the benchmarks: sample 3 is the same picture however many are drawn, and
equals the harness's sample 3.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from diffae.diffusion import noise
from diffae.diffusion.interpolation import lerp, slerp
from diffae.eight_bit import to_uint8
from diffae.images.classifier import Classifier, classifier_of
from diffae.images.defaults import POOL, SOLVER, STEPS
from diffae.model import DiffusionAutoencoder
from diffae.system.errors import UserError
from diffae.system.validation import whole
from probes import accept_probability, accept_threshold

AT_ONCE = 256  # latents that are drawn and judged together
MOST = 100_000  # pictures, variations or points of one call


class Code(NamedTuple):
    """z_sem [N, d] and x_T [N, 3, S, S] of images."""

    z: Tensor
    x_T: Tensor


def encode(
    model: DiffusionAutoencoder, images: Tensor, steps: int = STEPS, solver: str = SOLVER
) -> Code:
    """Both codes of images.

    x_T is found by inverting the decoder, so that it must be decoded by the same solver.
    """
    z = model.encode(images)
    return Code(z, model.encode_stochastic(images, z, steps, solver))


def decode(
    model: DiffusionAutoencoder, code: Code, steps: int = STEPS, solver: str = SOLVER
) -> Tensor:
    """Images of codes."""
    return model.decode(code.z, code.x_T, steps, solver)


def random_x_T(model: DiffusionAutoencoder, indices: Sequence[int], seed: int) -> Tensor:
    """x_T from N(0, I), one for each of `indices`: [len, 3, S, S]."""
    size = model.image_size
    return noise.normal(seed, "x_T", indices, (3, size, size)).to(model.device)


def reconstruct(
    model: DiffusionAutoencoder, images: Tensor, steps: int = STEPS, solver: str = SOLVER
) -> Tensor:
    """Encode images to both codes and decode them."""
    return decode(model, encode(model, images, steps, solver), steps, solver)


def vary(
    model: DiffusionAutoencoder,
    images: Tensor,
    count: int = 4,
    seed: int = 0,
    steps: int = STEPS,
    solver: str = SOLVER,
) -> Tensor:
    """`count` variations of each image, [N, count, 3, S, S] (paper, Fig. 3).

    They have its z_sem, and a new random x_T; variation k has the same x_T for every image.
    """
    count = whole(count, "count", 1, MOST)
    z, x_T = model.encode(images), random_x_T(model, range(count), seed)
    made = [decode(model, Code(z, one.expand(len(z), *one.shape)), steps, solver) for one in x_T]
    return torch.stack(made, dim=1)


def interpolate(
    model: DiffusionAutoencoder,
    a: Tensor,
    b: Tensor,
    points: int = 9,
    steps: int = STEPS,
    solver: str = SOLVER,
) -> Tensor:
    """From image `a` to image `b` [1, 3, S, S] each: [points, 3, S, S] (Fig. 4).

    z_sem is interpolated linearly, x_T along a great circle. The first and the last are the
    reconstructions of the two.
    """
    points = whole(points, "points", 2, MOST)
    if len(a) != 1 or len(b) != 1:
        raise UserError(f"interpolate: one image and one image, not {len(a)} and {len(b)}")
    code = encode(model, torch.cat([a, b]), steps, solver)
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    ends = [
        Code(*(part[i : i + 1].expand(points, *part.shape[1:]) for part in code)) for i in (0, 1)
    ]
    way = Code(lerp(ends[0].z, ends[1].z, t), slerp(ends[0].x_T, ends[1].x_T, t))
    return decode(model, way, steps, solver)


def moved(code: Code, strengths: Mapping[str, float], classifier: Classifier) -> Code:
    """The code moved along the attributes' directions, each by its strength s.

    That is z + s sqrt(d) w / |w| on normalised z.
    """
    return Code(code.z + classifier.move(strengths).to(code.z.device), code.x_T)


def edit(
    model: DiffusionAutoencoder,
    images: Tensor,
    strengths: Mapping[str, float],
    classifier: Classifier | None = None,
    steps: int = STEPS,
    solver: str = SOLVER,
) -> Tensor:
    """Images with attributes changed, such as {"Smiling": 0.3, "Male": -0.2} (paper, Section 5.1).

    Strengths are the authors': positive is towards the attribute, 0.3 is a visible edit, beyond 1
    pictures lose their quality; 0 for all is the reconstruction. Without a `classifier` the one
    beside the checkpoint is used (the packaged model has one). Raises UserError if there is none,
    or none for an attribute.
    """
    classifier = classifier or classifier_of(model)
    code = encode(model, images, steps, solver)
    return decode(model, moved(code, strengths, classifier), steps, solver)


def sample(
    model: DiffusionAutoencoder,
    count: int,
    seed: int = 0,
    steps: int = STEPS,
    solver: str = SOLVER,
    first: int = 0,
) -> Tensor:
    """New images [count, 3, S, S], from number `first` on (Section 4).

    z_sem comes from the latent DDIM, x_T from N(0, I).
    """
    indices = range(first, first + whole(count, "count", 1, MOST))
    z = _latents(model, indices, seed, steps, solver)
    return decode(model, Code(z, random_x_T(model, indices, seed)), steps, solver)


def _latents(
    model: DiffusionAutoencoder, indices: Sequence[int], seed: int, steps: int, solver: str
) -> Tensor:
    start = noise.normal(seed, "latent", indices, (model.latent_dim,)).to(model.device)
    return model.sample_latents(start, steps, solver)


class Accepted(NamedTuple):
    """Samples that a classifier accepted: K of `tried` that were drawn.

    `images` [K, 3, S, S], their `numbers` among all samples of the seed, and the classifier's
    `probability` [K] of the wanted class.
    """

    images: Tensor
    numbers: list[int]
    probability: Tensor
    tried: int


def sample_class(
    model: DiffusionAutoencoder,
    classifier: Classifier,
    attribute: str,
    count: int,
    seed: int = 0,
    present: bool = True,
    rule: str = "threshold",
    pool: int = POOL,
    steps: int = STEPS,
    solver: str = SOLVER,
) -> Accepted:
    """New images of a class, by rejection (paper, Section 5.4).

    Samples are drawn until `count` are accepted, or `pool` drawn. With p the classifier's
    probability that a latent has the attribute (`present`; else that it has not), rule "threshold"
    accepts p > 0.5 (the authors' code), "probability" accepts with probability p (the paper's
    text).
    """
    count, column = whole(count, "count", 1, MOST), classifier.index(attribute)
    sign = 1 if present else -1
    numbers: list[int] = []
    kept: list[Tensor] = []
    chances: list[Tensor] = []
    tried = 0
    pool = whole(pool, "pool", 1, 1 << 24)
    for start in range(0, pool, AT_ONCE):
        indices = range(start, min(start + AT_ONCE, pool))
        z = _latents(model, indices, seed, steps, solver)
        p = torch.sigmoid(sign * classifier.logits(z.cpu())[:, column])
        taken = np.flatnonzero(_accepts(rule, p, seed, start).numpy())[: count - len(numbers)]
        numbers += [indices[i] for i in taken]
        kept.append(z[taken])
        chances.append(p[taken])
        full = len(numbers) == count
        tried = numbers[-1] + 1 if full else indices[-1] + 1
        if full:
            break
    if not numbers:
        kind = attribute if present else f"not {attribute}"
        raise UserError(f"none of {tried:,} samples was accepted as {kind}; give a larger --pool")
    images = [
        decode(
            model, Code(z, random_x_T(model, numbers[64 * i : 64 * (i + 1)], seed)), steps, solver
        )
        for i, z in enumerate(torch.cat(kept).split(64))
    ]
    return Accepted(torch.cat(images), numbers, torch.cat(chances), tried)


def _accepts(rule: str, p: Tensor, seed: int, block: int) -> Tensor:
    if rule == "threshold":
        return accept_threshold(p)
    if rule == "probability":
        return accept_probability(
            p, noise.uniforms(noise.generator(seed, "accept", block), p.shape)
        )
    raise UserError(f"no rule {rule!r} of acceptance; there are threshold and probability")


def to_pil(images: Tensor) -> list[Image.Image]:
    """Images [N, 3, S, S] in [-1, 1] as 8-bit RGB."""
    pixels = to_uint8(images.detach().cpu().float()).permute(0, 2, 3, 1)
    return [Image.fromarray(one) for one in pixels.numpy()]
