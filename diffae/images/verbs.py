"""The functions of this package: a model and tensors in, tensors out.

Images are N x 3 x S x S in [-1, 1] on the model's device, z_sem N x d. Random numbers come from
(`seed`, number), as in the benchmarks: sample 3 is the same picture however many are drawn, and
equals the harness's sample 3.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict, Unpack

import torch
from PIL import Image
from torch import Tensor

from diffae.diffusion import noise
from diffae.diffusion.interpolation import lerp, slerp
from diffae.eight_bit import to_uint8
from diffae.images.classifier import Classifier, classifier_of
from diffae.images.options import SOLVER, STEPS
from diffae.model import DiffusionAutoencoder as Model
from diffae.system.errors import UserError, whole

AT_ONCE = 64  # samples of a class that are drawn, judged and decoded together
POOL = 20_000  # samples that are drawn for a class, at most
MOST = 100_000  # pictures, variations or points of one call


class Decoding(TypedDict, total=False):
    """The solver of decoding and of its inversion. The defaults are fast on a CPU."""

    steps: int
    solver: str


class CodePair(NamedTuple):
    """z_sem [N, d] and x_T [N, 3, S, S] of images."""

    z: Tensor
    x_T: Tensor


def encode(model: Model, images: Tensor, steps: int = STEPS, solver: str = SOLVER) -> CodePair:
    """Both codes of images.

    x_T is found by inverting the decoder, so that it must be decoded by the same solver.
    """
    z = model.encode(images)
    return CodePair(z, model.encode_stochastic(images, z, steps, solver))


def decode(model: Model, code: CodePair, steps: int = STEPS, solver: str = SOLVER) -> Tensor:
    """Images of codes."""
    return model.decode(code.z, code.x_T, steps, solver)


def random_x_T(model: Model, indices: Sequence[int], seed: int) -> Tensor:
    """x_T from N(0, I), one for each of `indices`: [len, 3, S, S]."""
    size = model.image_size
    return noise.normal(seed, "x_T", indices, (3, size, size)).to(model.device)


def reconstruct(model: Model, images: Tensor, **decoding: Unpack[Decoding]) -> Tensor:
    """Encode images to both codes and decode them."""
    return decode(model, encode(model, images, **decoding), **decoding)


def vary(
    model: Model, images: Tensor, count: int = 4, seed: int = 0, **decoding: Unpack[Decoding]
) -> Tensor:
    """`count` variations of each image, [N, count, 3, S, S] (paper, Fig. 3).

    They have its z_sem, and a new random x_T; variation k has the same x_T for every image.
    """
    count = whole(count, "count", 1, MOST)
    z, x_T = model.encode(images), random_x_T(model, range(count), seed)
    shared = [part.expand(len(z), *part.shape) for part in x_T]
    return torch.stack([decode(model, CodePair(z, part), **decoding) for part in shared], dim=1)


def interpolate(
    model: Model, a: Tensor, b: Tensor, points: int = 9, **decoding: Unpack[Decoding]
) -> Tensor:
    """From image `a` to image `b` [1, 3, S, S] each: [points, 3, S, S] (Fig. 4).

    z_sem is interpolated linearly, x_T along a great circle. The first and the last are the
    reconstructions of the two.
    """
    points = whole(points, "points", 2, MOST)
    if len(a) != 1 or len(b) != 1:
        raise UserError(f"interpolate: one image and one image, not {len(a)} and {len(b)}")
    z, x_T = encode(model, torch.cat([a, b]), **decoding)
    t = torch.linspace(0, 1, points, dtype=torch.float64)
    return decode(model, CodePair(lerp(z[:1], z[1:], t), slerp(x_T[:1], x_T[1:], t)), **decoding)


def moved(code: CodePair, strengths: Mapping[str, float], classifier: Classifier) -> CodePair:
    """The code moved along the attributes' directions, each by its strength s.

    That is z + s sqrt(d) w / |w| on normalised z.
    """
    return CodePair(code.z + classifier.move(strengths).to(code.z.device), code.x_T)


def edit(
    model: Model,
    images: Tensor,
    strengths: Mapping[str, float],
    classifier: Classifier | None = None,
    **decoding: Unpack[Decoding],
) -> Tensor:
    """Images with attributes changed, such as {"Smiling": 0.3, "Male": -0.2} (paper, Section 5.1).

    Strengths are the authors': positive is towards the attribute, 0.3 is a visible edit, beyond 1
    pictures lose their quality; 0 for all is the reconstruction. Without a `classifier` the one
    beside the checkpoint is used (the packaged model has one). Raises UserError if there is none,
    or none for an attribute.
    """
    classifier = classifier or classifier_of(model)
    code = encode(model, images, **decoding)
    return decode(model, moved(code, strengths, classifier), **decoding)


def sample(
    model: Model, count: int, seed: int = 0, first: int = 0, **decoding: Unpack[Decoding]
) -> Tensor:
    """New images [count, 3, S, S], from number `first` on (Section 4).

    z_sem comes from the latent DDIM, x_T from N(0, I).
    """
    indices = range(first, first + whole(count, "count", 1, MOST))
    z = _latents(model, indices, seed, **decoding)
    return decode(model, CodePair(z, random_x_T(model, indices, seed)), **decoding)


def _latents(
    model: Model, indices: Sequence[int], seed: int, steps: int = STEPS, solver: str = SOLVER
) -> Tensor:
    start = noise.normal(seed, "latent", indices, (model.latent_dim,)).to(model.device)
    return model.sample_latents(start, steps, solver)


class Accepted(NamedTuple):
    """The K samples that a classifier accepted, of `tried` that were drawn.

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
    **decoding: Unpack[Decoding],
) -> Accepted:
    """New images of a class, by rejection (paper, Section 5.4).

    Samples are drawn until `count` are accepted, or `POOL` are drawn. A sample is accepted if it has
    the attribute (or lacks it, if not `present`) with a probability above 0.5.
    """
    count = whole(count, "count", 1, MOST)
    column, sign = classifier.index(attribute), 1 if present else -1
    numbers: list[int] = []
    images: list[Tensor] = []
    probabilities: list[Tensor] = []
    for start in range(0, POOL, AT_ONCE):
        z = _latents(model, range(start, min(start + AT_ONCE, POOL)), seed, **decoding)
        p = torch.sigmoid(sign * classifier.logits(z)[:, column])
        accepted = (p > 0.5).nonzero()[: count - len(numbers), 0]
        if not len(accepted):
            continue
        new = (start + accepted).tolist()
        code = CodePair(z[accepted.to(z.device)], random_x_T(model, new, seed))
        images.append(decode(model, code, **decoding))
        probabilities.append(p[accepted])
        numbers += new
        if len(numbers) == count:
            break
    if not numbers:
        kind = attribute if present else f"not {attribute}"
        raise UserError(
            f"none of {POOL:,} samples was accepted as {kind}; learn it from more images"
        )
    tried = numbers[-1] + 1 if len(numbers) == count else POOL
    return Accepted(torch.cat(images), numbers, torch.cat(probabilities), tried)


def to_pil(images: Tensor) -> list[Image.Image]:
    """Images [N, 3, S, S] in [-1, 1] as 8-bit RGB."""
    batch = to_uint8(images.detach().cpu().float()).permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(pixels) for pixels in batch]
