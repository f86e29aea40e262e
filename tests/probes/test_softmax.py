"""The classifier of exclusive classes against scikit-learn, and top-k accuracy."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score

from probes import fit_best_softmax, fit_lbfgs, is_exclusive, top_hits
from probes.softmax import softmax_loss

K = 7


def problem(n, seed=0):
    """Correlated features of unequal scale, and classes of unequal shares that overlap."""
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(12, 12, generator=torch.Generator().manual_seed(9)) / 4 + torch.eye(12)
    x = torch.randn(n, 12, generator=g) @ mixing
    truth = torch.randn(12, K, generator=torch.Generator().manual_seed(8)) / 2
    logits = x @ truth + torch.linspace(-2, 1, K)
    drawn = torch.multinomial(logits.softmax(1), 1, generator=g)
    return x * torch.linspace(0.1, 20, 12) + 5, drawn == torch.arange(K)


def standardised(x, of=None):
    x, of = x.double(), (x if of is None else of).double()
    return ((x - of.mean(0)) / of.std(0)).numpy()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("C", [1e-3, 0.1, 10.0])
@pytest.mark.parametrize(
    ("dtype", "tol", "atol"), [(torch.float64, 1e-7, 1e-5), (torch.float32, 1e-5, 2e-3)]
)
def test_probabilities_are_scikit_learns(C, dtype, tol, atol):
    """Its Newton solver is exact here. Where ours stops depends on the order of its sums, hence on
    the processor: over 25 orders of the images the largest error was 1.6e-6, and 3.9e-4 in float32.
    """
    (x, y), (test_x, test_y) = problem(600), problem(400, seed=1)
    probe = fit_lbfgs(x, y, C=C, tol=tol, dtype=dtype, loss=softmax_loss)
    model = LogisticRegression(C=C, tol=1e-12, solver="newton-cholesky").fit(
        standardised(x), y.int().argmax(1)
    )
    expected = model.predict_proba(standardised(test_x, x))
    found = probe.logits(test_x).double().softmax(1)
    np.testing.assert_allclose(found, expected, atol=atol)
    hits = top_hits(probe.logits(test_x).numpy(), test_y.numpy(), 1)
    assert hits.mean() == model.score(standardised(test_x, x), test_y.int().argmax(1))


def test_C_is_the_best_of_scikit_learns_top1():
    (x, y), (valid_x, valid_y) = problem(60), problem(3000, seed=2)
    grid = (1e-3, 3e-2, 1e-1, 100.0)
    scores = [
        LogisticRegression(C=C, max_iter=5000)
        .fit(standardised(x), y.int().argmax(1))
        .score(standardised(valid_x, x), valid_y.int().argmax(1))
        for C in grid
    ]
    assert np.diff(np.sort(scores))[-1] > 2e-3 and np.argmax(scores) not in (0, 3)
    assert fit_best_softmax(x, y, valid_x, valid_y, grid)[1] == grid[int(np.argmax(scores))]


def test_a_class_without_images_is_never_predicted():
    x, y = problem(300)
    kept = ~y[:, 6]
    probe = fit_lbfgs(x[kept], y[kept], loss=softmax_loss)
    assert not probe.weight[6].any() and not (probe.logits(x).argmax(1) == 6).any()


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_scikit_learns(k):
    logits = np.random.default_rng(0).normal(size=(500, K)).astype(np.float32)
    classes = np.random.default_rng(1).integers(0, K, 500)
    hits = top_hits(logits, classes[:, None] == np.arange(K), k)
    assert hits.mean() == top_k_accuracy_score(classes, logits, k=k, labels=np.arange(K))


def test_of_equal_logits_the_first_class_is_the_highest():
    """A code that knows nothing is right by chance, not always."""
    labels = np.eye(4, dtype=bool)
    for k in (1, 3):
        assert top_hits(np.zeros((4, 4)), labels, k).tolist() == [True] * k + [False] * (4 - k)


def test_exclusive_classes():
    one_hot = np.eye(3, dtype=bool)[[0, 1, 2, 1]]
    assert is_exclusive(one_hot)
    assert not is_exclusive(one_hot[:, :2]) and not is_exclusive(one_hot | one_hot[::-1])
    assert not is_exclusive(np.ones((4, 1), bool))
