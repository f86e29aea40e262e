"""Selection of images: positions, persons, and the images that systems learn from."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import evaluate
from benchmarks.core.images import Selection, select
from benchmarks.core.runner.evaluation import Evaluation
from benchmarks.core.runner.setup import DataSizes
from benchmarks.systems.protocol.base import SEMANTIC, System
from diffae.data.partition import SPLITS


def test_no_person_is_in_two_blocks():
    people = np.array([7, 7, 7, 3, 3, 9, 9, 9, 4, 4])
    order = np.random.default_rng(0).permutation(10)
    selection = Selection(SimpleNamespace(identities=people, fingerprint=""), "test", order, 0)
    blocks = selection.units.blocks(3)
    assert {len(set(blocks[people[order] == one])) for one in people} == {1}
    assert set(blocks) == {0, 1, 2}


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_the_first_of_all_images_are_of_every_split(patches, seed):
    """Where the data have no split of their own, it is drawn by a permutation too."""
    every = select(patches, "all", len(patches), seed)
    splits = [set(select(patches, split, 1000, seed).order.tolist()) for split in SPLITS]
    for part in (every.order[:60], every.order[-60:]):
        assert all(len(split.intersection(part.tolist())) > 0 for split in splits)
    assert [len(select(patches, "all", count, seed)) for count in (0, 3, 1000)] == [0, 3, 150]
    assert every.order[:3].tolist() == select(patches, "all", 3, seed).order.tolist()


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


class NeverLearns(System):
    name = title = fingerprint = "never learns"
    capabilities, latent_dim = frozenset({"encode", "decode", "semantic"}), 1

    def encode_semantic(self, images):
        return images[:, 0, 0, :1]

    def decode(self, code, steps=100):
        return code.semantic[:, :, None, None].expand(-1, 3, 32, 32)

    def fit(self, batches):
        raise RuntimeError("too hard")


def test_each_system_learns_whichever_fail_before_it(patches, no_effnet):
    systems = {"one": NeverLearns(), "two": NeverLearns(), "three": "pixels-pca"}
    found = evaluate(systems, "reconstruction", patches, "smoke", limit=2, cache=False)
    assert {row.system for row in found.failures} == {"one", "two"}
    assert all("too hard" in row.note for row in found.failures)
    assert {row.system for row in found.rows if row.value is not None} == {"three"}
