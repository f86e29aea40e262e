"""Speed and agreement of two computations with the libraries that are the usual choice.

    python docs/results/figures.py

- the joint probe against a loop of scikit-learn fits, on z_sem of portraits (40 attributes);
- the Frechet distance against scipy.linalg.sqrtm at 2048 dimensions.

Both sides alternate; the ratio of medians is what counts, an absolute time means nothing.
"""

import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy import linalg
from sklearn.linear_model import LogisticRegression

from benchmarks.metrics.frechet import Moments, frechet_distance
from diffae import DiffusionAutoencoder
from diffae.data import open_portraits
from probes import auroc, fit_lbfgs

ROUNDS = 5


def alternate(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Median seconds of both, run in turn."""
    seconds: dict[Callable[[], object], list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS):
        for function, times in seconds.items():
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return statistics.median(seconds[ours]), statistics.median(seconds[theirs])


def probes() -> None:
    model, data = DiffusionAutoencoder.from_pretrained("portraits"), open_portraits(5000, 32)
    splits = [data.indices("train")[:3000], data.indices("test")[:1500]]
    z = [torch.cat([model.encode(data.batch(c)) for c in np.array_split(s, 20)]) for s in splits]
    assert data.attributes is not None
    y = [data.attributes[split] for split in splits]
    scaled = ((z[0] - z[0].mean(0)) / z[0].std(0)).numpy()

    def loop(tol: float = 1e-4) -> np.ndarray:
        fits = [LogisticRegression(tol=tol, max_iter=5000).fit(scaled, column) for column in y[0].T]
        test = ((z[1] - z[0].mean(0)) / z[0].std(0)).numpy()
        return np.stack([fit.decision_function(test) for fit in fits], axis=1)

    labels = torch.from_numpy(y[0])
    ours, theirs = alternate(lambda: fit_lbfgs(z[0], labels), loop)
    a, b = fit_lbfgs(z[0], labels).logits(z[1]).numpy(), loop(1e-8)
    both = [i for i in range(len(y[1].T)) if 0 < y[1][:, i].sum() < len(y[1])]
    differences = [abs(auroc(a[:, i], y[1][:, i]) - auroc(b[:, i], y[1][:, i])) for i in both]
    print(f"joint probe: scikit-learn takes {theirs / ours:.1f} times as long")
    print(
        f"joint probe: largest AUROC difference to scikit-learn at tol 1e-8: {max(differences):.1e}"
    )


def frechet() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((4000, 2048)) * np.linspace(0.1, 2, 2048) + i for i in (0.0, 0.05))
    x, y = Moments.from_features(a), Moments.from_features(b)

    def sqrtm() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            root = linalg.sqrtm(x.covariance() @ y.covariance())
        trace = np.trace(x.covariance()) + np.trace(y.covariance()) - 2 * np.trace(root.real)
        return float(((x.mean - y.mean) ** 2).sum() + trace)

    def ours() -> float:  # without the factor that a second distance to the same reference reuses
        return frechet_distance(Moments(x.n, x.mean, x.scatter), Moments(y.n, y.mean, y.scatter))

    mine, theirs = alternate(ours, sqrtm)
    difference = abs(ours() - sqrtm()) / sqrtm()
    print(f"Frechet distance, d = 2048: sqrtm takes {theirs / mine:.1f} times as long")
    print(f"Frechet distance, d = 2048: relative difference {difference:.1e}")


if __name__ == "__main__":
    probes()
    frechet()
