"""One draw of few-shot samples.

A classifier trained on a few labels accepts latents of a pool, and their images are compared with
all real images of the class.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.core.images import Selection, features_of
from benchmarks.metrics.networks.features import FeatureNetwork
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.plugin import Arrays, Context, Job, NotAvailable, Place, Variant
from benchmarks.runtime.digest import digest
from benchmarks.tasks.fewshot.classes import Setup, Sizes, Target, classifier, labelled
from benchmarks.tasks.shared.distances import side_of
from benchmarks.tasks.shared.probe_fits import Sizes as ProbeSizes
from benchmarks.tasks.shared.samples import shown
from diffae.diffusion import noise
from diffae.system.files import Json, file_name
from reports.records.estimate import units_of

PREVIEW = 16


def reference_images(context: Context) -> Selection:
    """The images from which the real ones of a class are taken."""
    return context.select("all", context.sizes(Sizes).reference)


def _training_images(context: Context) -> Selection:
    return context.select("train", context.sizes(ProbeSizes).train)


def refusal(context: Context, setup: Setup) -> str:
    """Why a class cannot be measured, by the labels of the images; empty if it can."""
    target, labels = setup.target, _training_images(context).labels
    try:
        setup.split(context.sizes(Sizes), labels, seed=0)
    except ValueError as few:
        return f"class {target.name}: {few}"
    members = target.members(reference_images(context).labels).sum()
    return "" if members > 1 else f"class {target.name}: {members} real images to compare with"


def logits(variant: Variant, setup: Setup, pool: Job) -> Job:
    """The logits of the latents of a pool, by the classifier of each seed: [seeds, N].

    Rules with classifiers that are trained alike share them.
    """
    context, training = variant.context, _training_images(variant.context)
    sizes, labels = context.sizes(Sizes), training.labels

    def compute(seeds: np.ndarray, new: Arrays, codes: Arrays) -> Arrays:
        latents, features = torch.from_numpy(new["latents"]), features_of(codes)
        try:
            fits = [classifier(sizes, setup, features, labels, int(seed)) for seed in seeds]
        except ValueError as error:
            raise NotAvailable(f"class {setup.target.name}: {error}") from None
        return {"logits": np.stack([fit.logits(latents)[:, 0].numpy() for fit in fits])}

    decides: dict[str, Json] = {"scenario": setup.scenario, "steps": setup.steps}
    decides |= {"decay": setup.rule.ema_decay, "members": digest(setup.target.members(labels))}
    decides |= labelled(sizes, setup.scenario)
    return Job(
        "few-shot-logits",
        f"fit: {setup.setting}, by seed",
        decides,
        sizes.seeds,
        compute,
        takes=[pool, context.codes.features(variant.system, training)],
        system=variant.system,
        chunk=1,
    )


class Real:
    """The real images that samples are compared with by one network's features: all of them, and those
    of a class.
    """

    def __init__(self, context: Context, network: FeatureNetwork, features: Arrays):
        self.context, self.network, self.images = context, network, reference_images(context)
        self.everything = side_of(context, self.images, features["features"])

    def members(self, target: Target) -> np.ndarray:
        """The positions of the images of a class."""
        return np.flatnonzero(target.members(self.images.labels))

    def part(self, members: np.ndarray) -> Side:
        """Some of the images, whose units are those of all."""
        return replace(self.everything, rows=members, blocks=self.everything.blocks[members])

    def reference(self, members: np.ndarray) -> Side:
        """The same as a reference of images of a class: a new draw of all images has another number
        of them.
        """
        return replace(self.part(members), drawn_from=self.everything.blocks)

    def of_class(self, target: Target) -> Side:
        """The images of a class as the reference of samples."""
        units = self.images.units.named("blocks of reference")
        return replace(self.reference(self.members(target)), units=units)


@dataclass(frozen=True)
class Pool:
    """New images, the same for every class; `new` are the arrays of `samples`."""

    variant: Variant
    new: Arrays

    @property
    def units(self) -> str:
        """What identifies the blocks."""
        context = self.variant.context
        drawn = context.sizes(Sizes).pool
        return units_of("blocks of a pool, dealt in turn", context.seed, drawn)

    @property
    def blocks(self) -> np.ndarray:
        return blocks_of(len(self.new["latents"]))

    def accepted(self, setup: Setup, seed: int, logits: np.ndarray) -> np.ndarray:
        """The positions of the latents that a seed's classifier accepts, by its logits [N]."""
        probability = torch.sigmoid(torch.from_numpy(logits))
        name = f"acceptance {setup.target.name}"
        source = noise.generator(self.variant.context.seed, name, seed)
        accepted = setup.rule.accept(probability, noise.uniforms(source, probability.shape))
        return np.flatnonzero(accepted.numpy())

    def side(self, network: FeatureNetwork, chosen: np.ndarray) -> Side:
        """The images at these positions as samples of a class."""
        context, blocks = self.variant.context, self.blocks
        # If all accepted latents are taken, their number is random too.
        drawn_from = blocks if len(chosen) < context.sizes(Sizes).samples else None
        side = Side(self.new[network.array], chosen, blocks[chosen], self.units, context.device)
        return replace(side, drawn_from=drawn_from)

    def save_picture(self, name: str, accepted: np.ndarray) -> None:
        """Save a picture of the first accepted samples of a class."""
        if self.variant.context.pictures is None:
            return
        place = Place(self.variant.context, "", self.variant, setting=name)
        place.draw(
            f"fewshot-{{}}-{file_name(name)}",
            f"few-shot samples, {name}",
            shown(place, self.variant, self.new, accepted[:PREVIEW]).split(8),
            caption="Samples whose code a classifier of a few labels accepts, the first of them (Table 3).",
        )
