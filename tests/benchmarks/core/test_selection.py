"""Selection of images: positions, persons, and the images that systems learn from."""

from types import SimpleNamespace

import numpy as np
import torch

from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.setup import DataSizes
from benchmarks.core.selection import Selection
from benchmarks.systems.protocol.base import SEMANTIC, System


def test_no_person_is_in_two_blocks():
    people = np.array([7, 7, 7, 3, 3, 9, 9, 9, 4, 4])
    order = np.random.default_rng(0).permutation(10)
    selection = Selection(SimpleNamespace(identities=people), "test", order, 0)
    blocks = selection.blocks(3)
    assert {len(set(blocks[people[order] == one])) for one in people} == {1}
    assert set(blocks) == {0, 1, 2}


class Learner(System):
    name, title, capabilities, latent_dim, fingerprint = (
        "learner",
        "learner",
        frozenset({SEMANTIC}),
        1,
        "x",
    )

    def fit(self, batches):
        self.seen = torch.cat(list(batches))


def test_systems_learn_from_images_of_the_training_split_alone(context):
    system = Learner()
    Evaluation(context, [system]).fit()
    count = context.sizes(DataSizes).fit_images
    data = context.dataset
    assert len(system.seen) == min(count, len(data.indices("train")))
    held_out = {one.numpy().tobytes() for one in data.batch(data.indices("test"))}
    assert not held_out & {one.numpy().tobytes() for one in system.seen}
