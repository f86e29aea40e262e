"""One draw of few-shot samples: a classifier of a few labels accepts latents of a pool, and their images are held
against all real images of the class."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.context import Context
from benchmarks.core.images import file_name, save_sheet
from benchmarks.core.selection import Selection
from benchmarks.core.store import Arrays
from benchmarks.metrics.frechet_jackknife import BLOCKS, Jackknife, blocks_of, shares_of
from benchmarks.metrics.weights import NotAvailable
from benchmarks.systems.base import System, reading_of
from benchmarks.tasks.fewshot.classes import Setup, Sizes, classifier
from benchmarks.tasks.shared.distances import distance
from benchmarks.tasks.shared.samples import decode_latents, draw, samples
from diffae import noise

PREVIEW = 16


class Pool:
    """Latents of the latent DDIM, and the features of their images; the same for every scenario."""

    def __init__(self, context: Context, system: System):
        self.context, self.system = context, system
        sizes = context.sizes(Sizes)
        self.steps = sizes.steps if system.iterative else None
        new = samples(context, system, self.steps, sizes.pool)
        self.latents, self.features = torch.from_numpy(new["latents"]), new["features"]

    def _images(self, shown: np.ndarray) -> Tensor:
        """Some of the pool's images once more: from their latents, or drawn anew where only their reading is kept."""
        given = self.context, self.system
        if reading_of(self.system):
            return draw(*given, shown.tolist(), self.steps)[0]
        return decode_latents(*given, self.latents[shown], shown.tolist(), self.steps)

    def save_picture(self, name: str, accepted: np.ndarray) -> None:
        """The first accepted samples of a class."""
        shown = accepted[:PREVIEW]

        def compute() -> Arrays:
            return {"images": self._images(shown).numpy()}

        key = self.context.codes.key("sample-preview", self.system, None)
        key |= {"steps": self.steps, "seed": self.context.seed, "shown": shown.tolist()}
        images = torch.from_numpy(self.context.store.once(key, compute)["images"])
        path = self.context.picture(f"fewshot-{self.system.name}-{file_name(name)}.png")
        save_sheet(path, list(images.split(8)) if len(images) % 8 == 0 else [images], scale=2)


@dataclass(frozen=True)
class Result:
    """One seed's distance and share of accepted latents, each with the influences of blocks of the pool."""

    distance: Jackknife
    acceptance: Jackknife
    accepted: np.ndarray


def one_seed(
    context: Context, pool: Pool, features: Tensor, train: Selection, setup: Setup, seed: int
) -> Result:
    """`features` [N, d] and labels are those of `train`. Raises NotAvailable where there are too few images or samples."""
    target, sizes = setup.target, context.sizes(Sizes)
    try:
        probe = classifier(sizes, setup, features, train.labels, seed)
    except ValueError as error:
        raise NotAvailable(f"class {target.name}: {error}") from None
    probability = torch.sigmoid(probe.logits(pool.latents)[:, 0])
    source = noise.generator(context.seed, f"acceptance {target.name}", seed)
    u = noise.uniforms(source, probability.shape)
    accepted = np.flatnonzero(setup.rule.accept(probability, u).numpy())
    wanted = accepted[: sizes.samples]
    if len(wanted) < 2:
        raise NotAvailable(f"class {target.name}: {len(wanted)} of {len(u)} latents were accepted")
    everything = context.select("all", context.sizes(Sizes).reference)
    members = target.members(everything.labels)
    if members.sum() < 2:
        raise NotAvailable(f"class {target.name}: {members.sum()} real images to compare with")
    real, real_blocks = context.codes.real_features(everything), everything.blocks(BLOCKS)
    pool_blocks = blocks_of(len(u))
    found = distance(
        context, pool.features[wanted], pool_blocks[wanted], real[members], real_blocks[members]
    )
    # How many of the real images are of the class is chance too: what would be drawn again is all of them.
    found = replace(found, reference_shares=shares_of(real_blocks))
    if len(wanted) < sizes.samples:  # as is how many of the pool are accepted
        found = replace(found, sample_shares=shares_of(pool_blocks))
    return Result(found, _acceptance(accepted, pool_blocks), accepted)


def _acceptance(accepted: np.ndarray, pool_blocks: np.ndarray) -> Jackknife:
    """The share of the pool that is accepted, as a distance is given; no reference plays a part."""
    shares, nothing = shares_of(pool_blocks), np.zeros(BLOCKS)
    value = len(accepted) / len(pool_blocks)
    taken = np.bincount(pool_blocks[accepted], minlength=BLOCKS) / len(pool_blocks)
    without = (value - taken) / (1 - shares)
    return Jackknife(value, without, np.full(BLOCKS, value), shares, nothing)
