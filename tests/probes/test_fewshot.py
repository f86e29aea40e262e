"""Few-shot splits, classifiers and acceptance rules."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.utils._python_dispatch import TorchDispatchMode
from torch_adam import torch_adam

from probes import (
    accept_probability,
    accept_threshold,
    accept_threshold_and_probability,
    binary_split,
    fit_binary,
    fit_pu,
    pu_split,
)
from probes.linear import initial_weights, shuffled_batches

LABELS = np.random.default_rng(0).random(2000) < 0.3
MOST_OPERATIONS = 60


def features(d: int = 16) -> torch.Tensor:
    """Codes [2000, d] in which the class moves the first two dimensions."""
    noise = torch.randn(len(LABELS), d, generator=torch.Generator().manual_seed(0))
    noise[:, :2] += 2.0 * torch.from_numpy(LABELS)[:, None]
    return 3 * noise + 1


def test_binary_split_is_of_both_classes_and_deterministic():
    split, again, other = (binary_split(LABELS, 50, seed) for seed in (1, 1, 2))
    assert len(set(split.positives)) == len(set(split.negatives)) == 50
    assert LABELS[split.positives].all() and not LABELS[split.negatives].any()
    np.testing.assert_array_equal(split.positives, again.positives)
    np.testing.assert_array_equal(split.negatives, again.negatives)
    assert set(split.positives) != set(other.positives)


def test_pu_split_is_disjoint_and_unlabelled_images_keep_their_prevalence():
    split, again = (pu_split(LABELS, 100, 1000, seed=4) for _ in range(2))
    assert LABELS[split.positives].all()
    assert (len(set(split.positives)), len(set(split.negatives))) == (100, 1000)
    assert not set(split.positives) & set(split.negatives)
    natural = (LABELS.sum() - 100) / (len(LABELS) - 100)
    assert LABELS[split.negatives].mean() == pytest.approx(natural, abs=0.04)
    np.testing.assert_array_equal(split.negatives, again.negatives)


def test_pu_split_takes_all_that_remain_where_too_few_do():
    split = pu_split(LABELS, 100, seed=0)
    assert sorted([*split.positives, *split.negatives]) == list(range(2000))


def test_too_few_images_of_a_class_are_refused():
    few = np.arange(20) < 5
    with pytest.raises(ValueError, match="6 positive images needed, but there are 5"):
        binary_split(few, 6, seed=0)
    with pytest.raises(ValueError, match="6 negative images needed, but there are 5"):
        binary_split(~few, 6, seed=0)
    with pytest.raises(ValueError, match="100 positive"):
        pu_split(few, seed=0)
    with pytest.raises(ValueError, match="none is left"):
        pu_split(np.ones(5, bool), 5, seed=0)


def test_default_steps_are_the_authors_samples_over_their_batch():
    codes, split = features(4), pu_split(LABELS, 20, 200, seed=0)
    args = (codes, split.positives, split.negatives)
    binary, pu = fit_binary(*args, seed=0), fit_pu(*args, seed=0)
    # K * 1000 samples at K = 50, and 100,000 for PU, in batches of 32 as their trainer counts.
    assert torch.equal(binary.weight, fit_binary(*args, steps=50_000 // 32, seed=0).weight)
    assert torch.equal(pu.weight, fit_pu(*args, steps=100_000 // 32, seed=0).weight)


@pytest.mark.parametrize("kind", ["binary", "pu"])
def test_fits_are_torch_adam_on_the_same_batches(kind):
    codes, generator = features(), np.random.default_rng(7)
    z = (codes - codes.mean(0)) / codes.std(0)
    if kind == "binary":
        split = binary_split(LABELS, 10, seed=0)
        probe = fit_binary(codes, split.positives, split.negatives, steps=300, seed=7)
        start = initial_weights(16, 1, generator)
        batches = shuffled_batches(20, 300, generator, epoch=100_000)
    else:
        split = pu_split(LABELS, 20, 500, seed=0)
        probe = fit_pu(codes, split.positives, split.negatives, steps=300, seed=7)
        start = initial_weights(16, 1, generator)
        positive = shuffled_batches(20, 300, generator, epoch=500)
        batches = torch.cat([positive, shuffled_batches(500, 300, generator) + 20], dim=1)
    rows = np.concatenate([split.positives, split.negatives])
    y = torch.zeros(len(rows), 1)
    y[: len(split.positives)] = 1
    model = torch_adam(start, z[rows], y, batches)
    torch.testing.assert_close(probe.logits(codes), model(z).detach(), atol=1e-4, rtol=0)


def test_classifiers_generalise_from_few_labels():
    codes = features(4)
    binary, pu = binary_split(LABELS, 50, seed=0), pu_split(LABELS, 100, 1000, seed=0)
    # Two dimensions, each shifted by 2 standard deviations: the best possible is Phi(2) = 0.977.
    for probe in (
        fit_binary(codes, binary.positives, binary.negatives, seed=0),
        fit_pu(codes, pu.positives, pu.negatives, seed=0),
    ):
        assert roc_auc_score(LABELS, probe.logits(codes)[:, 0]) == pytest.approx(0.97, abs=0.015)


class Operations(TorchDispatchMode):
    """Counts what PyTorch is told to compute."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_a_step_is_a_few_operations():
    """So that the 18,750 steps of the long run take seconds, on 100 rows of 512 numbers."""
    codes, split, counts = features(512), binary_split(LABELS, 50, seed=0), []
    for steps in (10, 20):
        with Operations() as operations:
            fit_binary(codes, split.positives, split.negatives, steps=steps, seed=0)
        counts.append(operations.count)
    assert 0 < counts[1] - counts[0] <= 10 * MOST_OPERATIONS


def test_acceptance_rules_on_a_grid():
    p, u = torch.meshgrid(torch.linspace(0, 1, 101), torch.arange(1000) / 1000, indexing="ij")
    levels = p[:, 0]
    torch.testing.assert_close(accept_threshold(p, u)[:, 0], torch.arange(101) > 50)
    by_probability = accept_probability(p, u).float().mean(1)
    torch.testing.assert_close(by_probability, levels, atol=1e-3, rtol=0)
    both = accept_threshold_and_probability(p, u).float().mean(1)
    torch.testing.assert_close(both, levels * (levels > 0.5), atol=1e-3, rtol=0)
