"""Linear probes: one logistic regression per attribute, on frozen and z-normalised features.

There are two functions that fit the same model. `fit_lbfgs` minimises scikit-learn's objective for all
attributes at once and converges. `fit_adam_paper` repeats the recipe of DiffAE (Preechakul et al.,
CVPR 2022, Section 5.3). Its fixed number of Adam steps does not converge, so its scores depend on the
recipe.
"""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import softplus

from probes.scale import spread
from probes.scores import auroc

FLOAT32_EPS = torch.finfo(torch.float32).eps
GRID = (1e-2, 1e-1, 1.0, 10.0)  # of C, for all probes of benchmarks
BATCH, LEARNING_RATE = 32, 1e-3  # those of the authors, for Adam
WIDEST_ROTATED = 1024  # with more features, computing principal axes takes longer than it saves


def normalise(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(features - mean) / std for features [N, d]; a constant feature is only centred."""
    constant = std <= FLOAT32_EPS * mean.abs()
    return (features - mean) / torch.where(constant, torch.ones_like(std), std)


def feature_moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [d] and unbiased standard deviation [d], summed in float64, of features [N, d]."""
    std, mean = torch.std_mean(features.double(), dim=0)
    return mean.float(), std.float()


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier for each of A attributes, with the normalisation of its d features.

    `weight` [A, d] and `bias` [A] act on z-normalised features; `mean` and `std` [d] are in the
    features' own units. All float32.
    """

    weight: Tensor
    bias: Tensor
    mean: Tensor
    std: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Logits [N, A] of raw features [N, d]."""
        normalised = normalise(features.to(self.weight.dtype), self.mean, self.std)
        return torch.addmm(self.bias, normalised, self.weight.T)

    def direction(self, attribute_index: int) -> Tensor:
        """Unit vector [d], in normalised space, along which the attribute's logit grows fastest.

        Raises ValueError if the weight is zero, as after a fit to a single class.
        """
        weight = self.weight[attribute_index]
        norm = torch.linalg.vector_norm(weight)
        if norm == 0:
            raise ValueError(f"attribute {attribute_index} has zero weight, hence no direction")
        return weight / norm

    def normal(self, attribute_index: int) -> Tensor:
        """Unit vector [d], in the features' own units, that is normal to the attribute's boundary.

        Raises ValueError as `direction` does.
        """
        mean, std = self.mean.double(), self.std.double()
        normal = normalise(self.direction(attribute_index) + mean, mean, std)
        return (normal / torch.linalg.vector_norm(normal)).float()

    def move(self, attribute_index: int, amount: Tensor) -> Tensor:
        """The change of raw features [N, d] by an edit of strength `amount` [N].

        On normalised features it is s sqrt(d) w / |w|, as in the authors' `manipulate.ipynb`. Raises ValueError as `direction` does.
        """
        direction = self.direction(attribute_index)
        step = amount[:, None] * math.sqrt(len(direction)) * direction
        return step * self.std  # the same move, on features that are not normalised


def check_features(features: Tensor) -> None:
    """Raise ValueError unless features are [N, d], finite, and precise enough in float32."""
    if features.ndim != 2:
        raise ValueError(f"features must be [N, d], not {list(features.shape)}")
    if not torch.isfinite(features).all():
        raise ValueError("features must be finite")
    if features.dtype == torch.float64 and spread(features.cpu().numpy()[:, :, None]).lost.any():
        raise ValueError("float32 loses some of these features: standardise them in float64")


def check_labels(labels: Tensor, n_features: int) -> Tensor:
    """Labels [N, A] as float32 zeros and ones. Raises ValueError for others, such as CelebA's -1 and 1."""
    if labels.ndim != 2 or len(labels) != n_features:
        raise ValueError(f"labels must be [{n_features}, A], not {list(labels.shape)}")
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels must be boolean or 0/1")
    return labels.float()


# L-BFGS ------------------------------------------------------------------------------------------


# From weights [d + 1, A], features [N, d], labels [N, A] and the penalty to the loss and its gradient.
Loss = Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]


def logistic_loss(
    weights: Tensor, features: Tensor, labels: Tensor, penalty: float
) -> tuple[Tensor, Tensor]:
    """Penalised log loss and its gradient, for A independent logistic regressions.

        f = sum_a [ 1/N sum_i (softplus(l_ia) - y_ia l_ia) + penalty/2 |w_a|^2 ],  l = x w + b
        df/dw = x' (sigmoid(l) - y) / N + penalty w,   df/db = sum_i (sigmoid(l) - y) / N

    `weights` [d + 1, A] has the bias as its last row, which is not penalised.
    """
    w, b = weights[:-1], weights[-1]
    logits = torch.addmm(b, features, w)
    residual = (torch.sigmoid(logits) - labels) / len(features)
    # In float32 the total would lose the last decreases, which the line search compares.
    log_loss = (softplus(logits) - labels * logits).sum(dtype=torch.float64) / len(features)
    value = log_loss + penalty / 2 * w.double().square().sum()
    return value, gradient_of(weights, features, residual, penalty)


def gradient_of(weights: Tensor, features: Tensor, residual: Tensor, penalty: float) -> Tensor:
    """Gradient [d + 1, A] of a penalised loss whose gradient by the logits is `residual` [N, A]."""
    gradient = torch.cat([features.T @ residual, residual.sum(0, keepdim=True)])
    gradient[:-1] += penalty * weights[:-1]
    return gradient


def principal_axes(features: Tensor) -> tuple[Tensor, Tensor]:
    """The variances [d] of centred features [N, d] along principal axes, and these axes [d, d], as columns."""
    x = features.double()
    variances, axes = torch.linalg.eigh(x.T @ x / len(x))
    return variances.clamp(min=0).to(features.dtype), axes.to(features.dtype)


def _minimise(
    loss_of: Loss, features: Tensor, labels: Tensor, penalty: float, max_iter: int, tol: float
) -> Tensor:
    """The minimiser [d + 1, A] of a loss, from zero weights and a bias of the log odds.

    L-BFGS is slow on correlated features and on rare or frequent attributes. So it works on u, where
    w = axes (scale * u). The principal axes leave the penalty unchanged, and with this scale the Hessian
    of every attribute is the identity at the start.
    """
    d = features.shape[1]
    if d <= WIDEST_ROTATED:
        variances, axes = (x[..., -len(features) :] for x in principal_axes(features))
        features = features @ axes  # with fewer images than features, only those axes that vary
    else:
        variances, axes = features.square().mean(0), None
    positives = labels.sum(0)
    # Half an image is added to both classes, so that the odds are finite.
    odds = torch.log((positives + 0.5) / (len(labels) - positives + 0.5))
    slope = torch.sigmoid(odds) * torch.sigmoid(-odds)
    scale = torch.cat([variances[:, None] * slope + penalty, slope[None]]).rsqrt()
    u = torch.zeros_like(scale)
    u[-1] = odds / scale[-1]
    u.requires_grad_()
    two_classes = (labels != labels[0]).any(0)
    limits = {"max_iter": max_iter, "max_eval": 2 * max_iter, "tolerance_change": 0}
    smallest = tol * float(scale.min())
    optimizer = torch.optim.LBFGS(
        [u], tolerance_grad=smallest, history_size=10, line_search_fn="strong_wolfe", **limits
    )

    @torch.no_grad()
    def loss() -> Tensor:
        value, gradient = loss_of(scale * u, features, labels, penalty)
        u.grad = scale * gradient * two_classes
        return value

    optimizer.step(loss)
    loss()  # the line search may have evaluated a different point last
    assert u.grad is not None
    # A wide axis counts as one of unit variance: in float32 its gradient cannot become as small.
    width = torch.cat([variances.clamp(min=1).sqrt(), variances.new_ones(1)])[:, None]
    worst = float((u.grad / scale / width).abs().max())
    if not worst <= 10 * tol:  # a smaller gradient may be out of reach in float32
        stopped = f"L-BFGS stopped at gradient {worst:.1e}, tol is {tol:.1e}"
        warnings.warn(f"{stopped}: the classifier is not fitted to the end", stacklevel=3)
    weights = (scale * u).detach()
    return weights if axes is None else torch.cat([axes @ weights[:-1], weights[-1:]])


def fit_lbfgs(
    features: Tensor,
    labels: Tensor,
    *,
    C: float = 1.0,
    max_iter: int = 1000,
    tol: float = 1e-5,
    dtype: torch.dtype = torch.float32,
    loss: Loss = logistic_loss,
) -> LinearProbe:
    """Fit all attributes to convergence by one joint L-BFGS; deterministic.

    Minimises C * sum of log losses + |w|^2 / 2 for each attribute, with an unpenalised intercept,
    on `features` [N, d] normalised by their own moments: scikit-learn's `LogisticRegression(C=C)`
    on the same normalised features. `labels` [N, A] are boolean or 0/1. As in scikit-learn, `tol` bounds
    the largest gradient of the objective divided by C * N, here along the features' principal axes.
    float32 may end slightly above 1e-5, float64 near 1e-7. There is a warning if the gradient is above
    10 * tol, for an axis of unit variance. With `dtype=torch.float64` all is computed in double
    precision. `softmax.softmax_loss` is another `loss`.

    An attribute with a single class in `labels` has no finite optimum: its weight is zero and its
    bias the log odds of its counts plus a half.
    """
    check_features(features)
    y = check_labels(labels, len(features)).to(dtype)
    mean, std = feature_moments(features)
    x = normalise(features.to(dtype), mean.to(dtype), std.to(dtype))
    weights = _minimise(loss, x, y, 1 / (C * len(x)), max_iter, tol).float()
    return LinearProbe(weights[:-1].T.contiguous(), weights[-1], mean, std)


def mean_auroc(probe: LinearProbe, features: Tensor, labels: Tensor) -> float:
    """Mean AUROC over the attributes that have both classes in `labels` [N, A], at least one."""
    logits, truth = probe.logits(features).cpu().numpy(), labels.bool().cpu().numpy()
    values = [auroc(logits[:, a], truth[:, a]) for a in range(truth.shape[1])]
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined)


def fit_best(
    features: Tensor,
    labels: Tensor,
    valid_features: Tensor,
    valid_labels: Tensor,
    grid: Sequence[float] = (1e-3, 1e-2, 1e-1, 1.0),
    loss: Loss = logistic_loss,
    score: Callable[[LinearProbe, Tensor, Tensor], float] = mean_auroc,
) -> tuple[LinearProbe, float]:
    """Fit with each C of `grid`. Return the probe with the best `score` on validation data, and its C.

    The score is the mean AUROC by default, which skips attributes with one class among the validation
    labels. Of equal scores the first counts. Raises ValueError if no attribute has both.
    """
    truth = check_labels(valid_labels, len(valid_features))
    if not (truth != truth[:1]).any():
        raise ValueError("no attribute has both classes in the validation split")
    fits = [(fit_lbfgs(features, labels, C=C, loss=loss), C) for C in grid]
    return max(fits, key=lambda fit: score(fit[0], valid_features, truth))


# Adam --------------------------------------------------------------------------------------------


def shuffled_batches(
    n: int, steps: int, generator: np.random.Generator, epoch: int | None = None
) -> Tensor:
    """Indices [steps, BATCH] into n examples, in shuffled epochs, one after another.

    In an epoch the n examples are repeated to the length `epoch` (default n), then shuffled.
    """
    length = epoch or n
    epochs = math.ceil(steps * BATCH / length)
    order = [generator.permutation(length) % n for _ in range(epochs)]
    return torch.from_numpy(np.concatenate(order))[: steps * BATCH].view(steps, BATCH)


def initial_weights(d: int, n_attributes: int, generator: np.random.Generator) -> Tensor:
    """Weights [A, d + 1], bias last, drawn as `torch.nn.Linear` does: U(-1/sqrt(d), 1/sqrt(d))."""
    uniform = torch.from_numpy(generator.random((n_attributes, d + 1), dtype=np.float32))
    return (2 * uniform - 1) / math.sqrt(d)


def _gather(x: Tensor, y: Tensor, batches: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows of each batch, gathered 64 batches at a time.

    To gather each batch would start torch's threads at every step, which takes milliseconds on a busy
    machine.
    """
    for chunk in batches.split(64):
        yield from zip(x[chunk], y[chunk], strict=True)


def adam_logistic(
    weights: Tensor,
    features: Tensor,
    labels: Tensor,
    batches: Tensor,
    ema_decay: float | None = None,
) -> Tensor:
    """Weights [A, d + 1] after one Adam step (Kingma & Ba, 2015) per batch, or their moving average.

    `features` [N, d] are normalised, `labels` [N, A] zeros and ones, `batches` [steps, B] indices
    into their rows. The loss is the binary cross-entropy averaged over batch and attributes. The moving
    average starts at the given weights, without bias correction.
    """
    beta1, beta2, eps = 0.9, 0.999, 1e-8
    x = torch.cat([features, features.new_ones(len(features), 1)], dim=1)
    w, m, v = weights.clone(), torch.zeros_like(weights), torch.zeros_like(weights)
    average = weights.clone()
    scale = 1 / (batches.shape[1] * labels.shape[1])
    for step, (x_b, y_b) in enumerate(_gather(x, labels, batches.to(x.device)), start=1):
        residual = torch.sigmoid(x_b @ w.T).sub_(y_b).mul_(scale)
        gradient = residual.T @ x_b
        m.lerp_(gradient, 1 - beta1)
        v.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        rms = v.sqrt().div_(math.sqrt(1 - beta2**step)).add_(eps)
        w.addcdiv_(m, rms, value=-LEARNING_RATE / (1 - beta1**step))
        if ema_decay is not None:
            average.lerp_(w, 1 - ema_decay)
    return w if ema_decay is None else average


def fit_adam_paper(
    features: Tensor, labels: Tensor, *, steps: int = 9375, seed: int
) -> LinearProbe:
    """Fit all attributes by the recipe of DiffAE's `experiment_classifier.py`.

    Binary cross-entropy averaged over batch and attributes, Adam without weight decay, 300,000
    samples in batches of 32, from `torch.nn.Linear`'s initial weights. `features` [N, d] are
    normalised by their own moments, where the authors use those of FFHQ. `labels` [N, A] are boolean or
    0/1, and may have a single class. The authors also flip images at random; here the codes are those of
    images that are not flipped.
    """
    check_features(features)
    y = check_labels(labels, len(features))

    def batches(generator: np.random.Generator) -> Tensor:
        return shuffled_batches(len(features), steps, generator)

    return adam_probe(features, y, batches, seed, feature_moments(features))


def adam_probe(
    features: Tensor,
    labels: Tensor,
    batches: Callable[[np.random.Generator], Tensor],
    seed: int,
    moments: tuple[Tensor, Tensor],
    ema_decay: float | None = None,
) -> LinearProbe:
    """The probe that `adam_logistic` trains on features [N, d], normalised by `moments` [d].

    A generator of `seed` draws the initial weights, and after them the `batches`.
    """
    generator = np.random.default_rng(seed)
    start = initial_weights(features.shape[1], labels.shape[1], generator)
    x = normalise(features.float(), *moments)
    w = adam_logistic(start.to(x.device), x, labels, batches(generator), ema_decay)
    return LinearProbe(w[:, :-1].contiguous(), w[:, -1].contiguous(), *moments)
