"""One draw of few-shot samples.

A classifier trained on a few labels accepts latents of a pool, and their images are compared with
all real images of the class.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.images import Selection, file_name
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.sets.groups import FEW_SHOT, shown_in
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.plugin import Arrays, Cell, Context, Estimate, NotAvailable, Solved
from benchmarks.runtime.digest import digest
from benchmarks.tasks.fewshot.classes import Setup, Sizes, Target, classifier, labelled, targets
from benchmarks.tasks.shared.distances import set_estimates, side_of
from benchmarks.tasks.shared.samples import shown
from diffae.diffusion import noise
from reports.records.estimate import units_of

PREVIEW = 16


class Real:
    """The real images that samples are compared with by one network's features: all of them, and those
    of a class. They are read once.
    """

    def __init__(self, context: Context, network: FeatureNetwork):
        self.network = network
        self.images = context.select("all", context.sizes(Sizes).reference)
        features = context.codes.real_features(self.images, network)
        self.everything = side_of(context, self.images, features)
        # The images of each class as the reference of samples. A class has one side for all
        # comparisons, since what a side computes of itself is kept with it.
        self.sides = dict[Target, Side]()
        for target in targets(context):
            side = self.reference(self.members(target))
            self.sides[target] = replace(side, units=self.reference_units)

    def members(self, target: Target) -> np.ndarray:
        """The positions of the images of a class."""
        return np.flatnonzero(target.members(self.images.labels))

    @property
    def reference_units(self) -> str:
        """The units of the images of a class as the reference of samples."""
        return self.images.units.named("blocks of reference")

    def part(self, members: np.ndarray) -> Side:
        """Some of the images, whose units are those of all."""
        return replace(self.everything, rows=members, blocks=self.everything.blocks[members])

    def reference(self, members: np.ndarray) -> Side:
        """The same as a reference of images of a class: a new draw of all images has another number
        of them.
        """
        return replace(self.part(members), drawn_from=self.everything.blocks)

    def refuse_few(self, target: Target) -> None:
        """Raises NotAvailable if a class has fewer than two images."""
        members = len(self.sides[target])
        if members < 2:
            raise NotAvailable(f"class {target.name}: {members} real images to compare with")


class Pool:
    """Latents of the latent DDIM and the features of their images by each network, the same for every
    scenario; and the codes of the training images that classifiers learn from.

    `new` are the arrays of `samples`, `codes` those of the training images.
    """

    def __init__(self, at: Solved, new: Arrays, training: Selection, codes: Tensor):
        self.at, self.context, self.training, self.codes = at, at.context, training, codes
        self.new, self.latents = new, torch.from_numpy(new["latents"])
        seed, drawn = self.context.seed, self.context.sizes(Sizes).pool
        self.units = units_of("blocks of a pool, dealt in turn", seed, drawn)
        self.blocks = blocks_of(len(self.latents))
        self._digests = {"latents": digest(new["latents"]), "codes": digest(codes.numpy())}

    def logits(self, setup: Setup, seed: int) -> Tensor:
        """A classifier's logits of the latents [N], from the store.

        Raises ValueError if a class has too few images.
        """
        sizes, labels = self.context.sizes(Sizes), self.training.labels

        def compute() -> Arrays:
            probe = classifier(sizes, setup, self.codes, labels, seed)
            return {"logits": probe.logits(self.latents)[:, 0].numpy()}

        # Rules with classifiers that are trained alike share them.
        key = {"work": "few-shot-logits", "seed": seed, "scenario": setup.scenario}
        key |= {"steps": setup.steps, "ema": setup.rule.ema, **labelled(sizes, setup.scenario)}
        key |= {"members": digest(setup.target.members(labels)), **self._digests}
        return torch.from_numpy(self.context.store.once(key, compute)["logits"])

    def save_picture(self, name: str, accepted: np.ndarray) -> None:
        """Save a picture of the first accepted samples of a class."""
        if self.context.pictures is None:
            return
        cell = Cell(self.context, "", self.at, setting=name)
        images = shown(cell, self.at, self.new, accepted[:PREVIEW])
        cell.draw(
            f"fewshot-{{}}-{file_name(name)}",
            f"few-shot samples, {name}",
            images.split(8),
            caption="Samples whose code a classifier of a few labels accepts, the first of them (Table 3).",
        )


def accepted_by(pool: Pool, setup: Setup, seed: int) -> np.ndarray:
    """The positions in the pool of the latents that a seed's classifier accepts.

    Raises NotAvailable if there are too few images or accepted latents.
    """
    target = setup.target
    try:
        logits = pool.logits(setup, seed)
    except ValueError as error:
        raise NotAvailable(f"class {target.name}: {error}") from None
    probability = torch.sigmoid(logits)
    source = noise.generator(pool.context.seed, f"acceptance {target.name}", seed)
    u = noise.uniforms(source, probability.shape)
    accepted = np.flatnonzero(setup.rule.accept(probability, u).numpy())
    if len(accepted) < 2:
        raise NotAvailable(f"class {target.name}: {len(accepted)} of {len(u)} latents accepted")
    return accepted


def compare_accepted(
    real: Real, pool: Pool, target: Target, accepted: np.ndarray, count: int
) -> Mapping[str, Estimate]:
    """The distances of the first `count` accepted samples to the images of the class, by metric."""
    chosen, network, sizes = accepted[:count], real.network, pool.context.sizes(Sizes)
    samples = Side(
        pool.new[network.array],
        chosen,
        pool.blocks[chosen],
        pool.units,
        pool.context.device,
        # If all accepted latents are taken, their number is random too.
        drawn_from=pool.blocks if count < sizes.samples else None,
    )
    sides = samples, real.sides[target]
    return set_estimates(pool.context, network, shown_in(FEW_SHOT), *sides, sizes.frechet_error)
