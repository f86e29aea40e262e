"""The functions of this package: a model and tensors in, tensors out.

Images are N x 3 x S x S in [-1, 1] on the model's device, z_sem N x d. Random numbers come from
(`seed`, number), as in the benchmarks: sample 3 is the same picture however many are drawn, and
equals the harness's sample 3.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from diffae.diffusion import noise
from diffae.diffusion.interpolation import lerp, slerp
from diffae.eight_bit import to_uint8
from diffae.images.classifier import Classifier, classifier_of
from diffae.images.options import POOL, SOLVER, STEPS
from diffae.model import DiffusionAutoencoder as Model
from diffae.system.errors import UserError, whole
from probes import accept_probability, accept_threshold

AT_ONCE, DECODED = 256, 64  # latents that are drawn and judged together; those decoded together
MOST = 100_000  # pictures, variations or points of one call
RULES = {"threshold": accept_threshold, "probability": accept_probability}


class Code(NamedTuple):
    """z_sem [N, d] and x_T [N, 3, S, S] of images."""

    z: Tensor
    x_T: Tensor


def encode(model: Model, images: Tensor, steps: int = STEPS, solver: str = SOLVER) -> Code:
    """Both codes of images.

    x_T is found by inverting the decoder, so that it must be decoded by the same solver.
    """
    z = model.encode(images)
    return Code(z, model.encode_stochastic(images, z, steps, solver))


def decode(model: Model, code: Code, steps: int = STEPS, solver: str = SOLVER) -> Tensor:
    """Images of codes."""
    return model.decode(code.z, code.x_T, steps, solver)


def random_x_T(model: Model, indices: Sequence[int], seed: int) -> Tensor:
    """x_T from N(0, I), one for each of `indices`: [len, 3, S, S]."""
    size = model.image_size
    return noise.normal(seed, "x_T", indices, (3, size, size)).to(model.device)


def reconstruct(model: Model, images: Tensor, steps: int = STEPS, solver: str = SOLVER) -> Tensor:
    """Encode images to both codes and decode them."""
    return decode(model, encode(model, images, steps, solver), steps, solver)


def vary(
    model: Model,
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
    model: Model, a: Tensor, b: Tensor, points: int = 9, steps: int = STEPS, solver: str = SOLVER
) -> Tensor:
    """From image `a` to image `b` [1, 3, S, S] each: [points, 3, S, S] (Fig. 4).

    z_sem is interpolated linearly, x_T along a great circle. The first and the last are the
    reconstructions of the two.
    """
    points = whole(points, "points", 2, MOST)
    if len(a) != 1 or len(b) != 1:
        raise UserError(f"interpolate: one image and one image, not {len(a)} and {len(b)}")
    z, x_T = encode(model, torch.cat([a, b]), steps, solver)
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    return decode(model, Code(lerp(z[:1], z[1:], t), slerp(x_T[:1], x_T[1:], t)), steps, solver)


def moved(code: Code, strengths: Mapping[str, float], classifier: Classifier) -> Code:
    """The code moved along the attributes' directions, each by its strength s.

    That is z + s sqrt(d) w / |w| on normalised z.
    """
    return Code(code.z + classifier.move(strengths).to(code.z.device), code.x_T)


def edit(
    model: Model,
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
    model: Model,
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


def _latents(model: Model, indices: Sequence[int], seed: int, steps: int, solver: str) -> Tensor:
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
    model: Model,
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
    if rule not in RULES:
        raise UserError(f"no rule {rule!r} of acceptance; there are {' and '.join(RULES)}")
    count, pool = whole(count, "count", 1, MOST), whole(pool, "pool", 1, 1 << 24)
    column, sign = classifier.index(attribute), 1 if present else -1
    numbers: list[int] = []
    kept: list[Tensor] = []
    chances: list[Tensor] = []
    for start in range(0, pool, AT_ONCE):
        z = _latents(model, range(start, min(start + AT_ONCE, pool)), seed, steps, solver)
        p = torch.sigmoid(sign * classifier.logits(z.cpu())[:, column])
        u = noise.uniforms(noise.generator(seed, "accept", start), p.shape)
        taken = RULES[rule](p, u).nonzero()[: count - len(numbers), 0]
        numbers += (start + taken).tolist()
        kept.append(z[taken.to(z.device)])
        chances.append(p[taken])
        if len(numbers) == count:
            break
    tried = numbers[-1] + 1 if len(numbers) == count else pool
    if not numbers:
        kind = attribute if present else f"not {attribute}"
        raise UserError(f"none of {tried:,} samples was accepted as {kind}; give a larger --pool")
    parts = zip(torch.cat(kept).split(DECODED), torch.tensor(numbers).split(DECODED), strict=True)
    draw = partial(random_x_T, model, seed=seed)
    images = [decode(model, Code(z, draw(some.tolist())), steps, solver) for z, some in parts]
    return Accepted(torch.cat(images), numbers, torch.cat(chances), tried)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Images [N, 3, S, S] in [-1, 1] as 8-bit RGB."""
    pixels = to_uint8(images.detach().cpu().float()).permute(0, 2, 3, 1)
    return [Image.fromarray(one) for one in pixels.numpy()]
