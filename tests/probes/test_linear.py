"""Linear probes against scikit-learn and torch.optim."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch_adam import torch_adam

from probes import LinearProbe, fit_adam_paper, fit_best, fit_lbfgs, linear
from probes.linear import (
    adam_logistic,
    feature_moments,
    initial_weights,
    normalise,
    shuffled_batches,
)


def problem(n: int, d: int, attributes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Correlated features of unequal scale, and noisy labels of prevalence 0.03 to 0.9."""
    g = torch.Generator().manual_seed(seed)
    mixing = torch.randn(d, d, generator=torch.Generator().manual_seed(99)) / d**0.5
    x = torch.randn(n, d, generator=g) @ (mixing + torch.eye(d))
    truth = torch.randn(d, attributes, generator=torch.Generator().manual_seed(98)) / d**0.5
    noise = torch.randn(n, attributes, generator=g)
    labels = 2 * x @ truth + noise + torch.linspace(-4, 3, attributes) > 0
    return x * torch.linspace(0.1, 20, d) + 5, labels


def standardised(x: Tensor) -> np.ndarray:
    x = x.double()
    return ((x - x.mean(0)) / x.std(0)).numpy()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("C", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize(
    ("dtype", "tol", "atol", "auroc_atol"),
    [(torch.float64, 1e-8, 1e-5, 1e-5), (torch.float32, 1e-5, 2e-3, 1e-4)],
)
def test_lbfgs_finds_scikit_learns_optimum(C, dtype, tol, atol, auroc_atol):
    x, y = problem(600, 12, 5)
    probe = fit_lbfgs(x, y, C=C, tol=tol, dtype=dtype)
    logits, z = probe.logits(x).numpy(), standardised(x)
    for a in range(5):
        model = LogisticRegression(C=C, tol=1e-8, max_iter=5000).fit(z, y[:, a])
        np.testing.assert_allclose(probe.weight[a], model.coef_[0], atol=atol, rtol=0)
        np.testing.assert_allclose(probe.bias[a], model.intercept_[0], atol=atol, rtol=0)
        reference = roc_auc_score(y[:, a], model.decision_function(z))
        assert roc_auc_score(y[:, a], logits[:, a]) == pytest.approx(reference, abs=auroc_atol)


@pytest.mark.filterwarnings("error")
def test_single_class_attributes_get_the_log_odds_and_leave_the_others_alone():
    x, y = problem(300, 8, 3)
    y[:, 0], y[:, 2] = True, False
    probe = fit_lbfgs(x, y)
    alone = fit_lbfgs(x, y[:, 1:2])
    torch.testing.assert_close(probe.bias[[0, 2]], torch.tensor([1.0, -1.0]) * np.log(601))
    assert not probe.weight[[0, 2]].any()
    torch.testing.assert_close(probe.weight[1], alone.weight[0], atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="no direction"):
        probe.direction(0)


@pytest.mark.filterwarnings("error")
def test_separable_data_converge_in_float32():
    x, _ = problem(400, 20, 1)
    fit = fit_lbfgs(x, x[:, :2] > 5)
    assert ((fit.logits(x) > 0) == (x[:, :2] > 5)).float().mean() > 0.98


@pytest.mark.filterwarnings("error")
def test_features_that_nearly_agree_converge_in_float32():
    """Pixels, of which one principal axis has the variance of hundreds: no gradient there is smaller."""
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(600, 1, generator=g) + 0.05 * torch.randn(600, 768, generator=g)).clamp(0, 1)
    x[:, :100], x[:5, :50] = 1, 0.99
    rates = [0.002, 0.01, 0.03, 0.1, 0.5, 0.9, 0.99, 0.998]
    y = torch.rand(600, 8, generator=g) < torch.tensor(rates)
    logits, exact = (
        fit_lbfgs(x, y, C=0.01, dtype=dtype).logits(x) for dtype in (torch.float32, torch.float64)
    )
    assert (logits - exact).abs().max() < 0.01 * exact.std()
    for truth, one, other in zip(y.T[1:7], logits.T[1:7], exact.T[1:7], strict=True):
        assert roc_auc_score(truth, one) == pytest.approx(roc_auc_score(truth, other), abs=1e-3)


def test_unfinished_optimisation_warns():
    x, y = problem(200, 8, 2)
    with pytest.warns(UserWarning, match="L-BFGS stopped"):
        fit_lbfgs(x, y, max_iter=2)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_constant_feature_is_ignored(constant):
    x, y = problem(200, 5, 2)
    # as a network in float32 gives them: some a unit in the last place above the others
    rounded = torch.full((200, 1), constant)
    rounded[::7] = torch.nextafter(rounded[::7], torch.full_like(rounded[::7], torch.inf))
    padded = torch.cat([x, torch.full((200, 1), constant), rounded], dim=1)
    for fit in (fit_lbfgs, lambda f, t: fit_adam_paper(f, t, steps=20, seed=0)):
        assert torch.isfinite(fit(padded, y).logits(padded)).all()
    torch.testing.assert_close(
        fit_lbfgs(padded, y).logits(padded), fit_lbfgs(x, y).logits(x), atol=4e-3, rtol=4e-3
    )


def test_logits_and_direction_of_a_known_probe():
    probe = LinearProbe(
        weight=torch.tensor([[3.0, 4.0]]),
        bias=torch.tensor([1.0]),
        mean=torch.tensor([1.0, 2.0]),
        std=torch.tensor([2.0, 0.0]),
    )
    # 3 (5 - 1)/2 + 4 (3 - 2) + 1
    torch.testing.assert_close(probe.logits(torch.tensor([[5.0, 3.0]])), torch.tensor([[11.0]]))
    torch.testing.assert_close(probe.direction(0), torch.tensor([0.6, 0.8]))


def test_the_normal_of_a_boundary_is_the_gradient_of_its_logit():
    """In the features' own units; a constant feature, which is not divided, has its weight."""
    mean, std = torch.tensor([3.0, 100.0, -2.0]), torch.tensor([0.5, 0.0, 4.0])
    probe = LinearProbe(torch.tensor([[1.0, 2.0, -4.0]]), torch.zeros(1), mean, std)
    features = torch.zeros(1, 3, requires_grad=True)
    probe.logits(features).sum().backward()
    expected = features.grad[0] / features.grad.norm()
    torch.testing.assert_close(probe.normal(0), expected)
    torch.testing.assert_close(probe.normal(0), torch.tensor([2.0, 2, -1]) / 3)


def test_labels_of_minus_one_are_refused():
    x, y = problem(50, 4, 2)
    with pytest.raises(ValueError, match="0/1"):
        fit_lbfgs(x, 2 * y.int() - 1)
    with pytest.raises(ValueError, match=r"\[50, A\]"):
        fit_adam_paper(x, y[:, 0], seed=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_features_that_are_not_finite_are_refused(value):
    x, y = problem(50, 4, 2)
    x[3, 1] = value
    for fit in (fit_lbfgs, lambda f, t: fit_adam_paper(f, t, steps=1, seed=0)):
        with pytest.raises(ValueError, match="finite"):
            fit(x, y)
    with pytest.raises(ValueError, match=r"\[N, d\]"):
        fit_lbfgs(x[:, 0], y)


def test_choice_of_C_is_that_of_scikit_learn_fits():
    x, y = problem(80, 30, 3)
    valid_x, valid_y = problem(500, 30, 3, seed=1)
    valid_y = torch.cat([valid_y, torch.ones(500, 1, dtype=torch.bool)], dim=1)
    y = torch.cat([y, y[:, :1]], dim=1)
    z = standardised(x)
    valid_z = ((valid_x - x.mean(0)) / x.std(0)).double().numpy()

    def score(C: float) -> float:
        fits = [LogisticRegression(C=C, max_iter=2000).fit(z, y[:, a]) for a in range(3)]
        return np.mean(
            [roc_auc_score(valid_y[:, a], f.decision_function(valid_z)) for a, f in enumerate(fits)]
        )

    grid = (1e-3, 1e-2, 1e-1, 1.0, 100.0)
    *_, (second, _), (value, best) = sorted((score(C), C) for C in grid)
    assert best not in (grid[0], grid[-1]) and value > second + 5e-4  # The choice is a real one.
    probe, C = fit_best(x, y, valid_x, valid_y, grid)
    assert C == best
    torch.testing.assert_close(probe.weight, fit_lbfgs(x, y, C=best).weight, rtol=0, atol=0)
    with pytest.raises(ValueError, match="both classes"):
        fit_best(x, y[:, 3:], valid_x, valid_y[:, 3:])


def test_adam_paper_is_torch_adam_on_the_same_batches():
    x, y = problem(300, 16, 5)
    probe = fit_adam_paper(x, y, steps=400, seed=3)
    generator = np.random.default_rng(3)
    start = initial_weights(16, 5, generator)
    batches = shuffled_batches(300, 400, generator)
    z = torch.from_numpy(standardised(x)).float()
    model = torch_adam(start, z, y.float(), batches)
    torch.testing.assert_close(probe.weight, model.weight.data, atol=1e-5, rtol=0)
    torch.testing.assert_close(probe.bias, model.bias.data, atol=1e-5, rtol=0)


def test_moving_average_keeps_its_share_of_the_start(monkeypatch):
    x, y = problem(100, 4, 1)
    monkeypatch.setattr(linear, "LEARNING_RATE", 0.1)
    z, start = normalise(x, *feature_moments(x)), torch.ones(1, 5)
    batches = shuffled_batches(100, 3, np.random.default_rng(0))
    path = [adam_logistic(start, z, y.float(), batches[:k]) for k in (1, 2, 3)]
    expected = 0.729 * start + 0.1 * (0.81 * path[0] + 0.9 * path[1] + path[2])
    averaged = adam_logistic(start, z, y.float(), batches, ema_decay=0.9)
    torch.testing.assert_close(averaged, expected)


def test_batches_are_shuffled_epochs():
    generator = np.random.default_rng(0)
    order = shuffled_batches(16, 2, generator).flatten()
    assert sorted(order[:16].tolist()) == sorted(order[16:32].tolist()) == list(range(16))
    assert order[:16].tolist() != order[16:32].tolist()
    repeated = shuffled_batches(16, 5, generator, epoch=160).flatten()
    assert torch.bincount(repeated).tolist() == [10] * 16
