"""Are the standard errors of Frechet distances true? Gaussian features in place of images, hundreds of fresh draws.

    OMP_NUM_THREADS=1 python docs/results/frechet_spread.py --replicates 300

Each replicate draws samples and reference anew. `stated` is the standard error of the distance, `spread` its standard
deviation over replicates; the same for the difference of two models on the same samples and reference, which the gate
looks at. Few-shot samples are the first of a pool that a linear classifier accepts. Prints a table.
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from tabulate import tabulate

from benchmarks.metrics.frechet_jackknife import (
    BLOCKS,
    Jackknife,
    blocks_of,
    jackknife,
    shares_of,
)


@dataclass(frozen=True)
class Setting:
    """`wanted` samples of a pool, in d dimensions, against m real images of m / pictures persons.

    Without a `pool` the samples are all that are drawn; `hard` makes the classifier accept fewer.
    """

    name: str
    d: int
    wanted: int
    m: int
    pool: int = 0
    hard: float = 0.0
    pictures: int = 1


SETTINGS = (
    Setting("samples, n > d", 16, 128, 400),
    Setting("samples, n = 2 d", 64, 128, 400),
    Setting("samples, n < d", 128, 64, 400),
    Setting("small reference", 64, 256, 100),
    Setting("3 pictures a person", 64, 128, 399, pictures=3),
    Setting("few-shot", 16, 128, 400, pool=640),
    Setting("few-shot", 64, 128, 400, pool=640),
    Setting("few-shot, n < d", 128, 64, 400, pool=256),
    Setting("few-shot, too few accepted", 64, 64, 400, pool=256, hard=3.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=300)
    args = parser.parse_args()
    headers = ("setting", "d", "n", "m", "distance", "stated", "spread", "ratio", "of a difference")
    print(tabulate(rows(args.replicates), headers, tablefmt="pipe", disable_numparse=True))


def rows(replicates: int) -> Iterator[tuple[str, ...]]:
    for setting in SETTINGS:
        found = [replicate(setting, np.random.default_rng([seed, 3])) for seed in range(replicates)]
        first, second, n = zip(*found, strict=True)
        value = np.array([one.value for one in first])
        difference = np.array([one.value for one in second]) - value
        stated = math.sqrt(np.mean([_variance(one) for one in first]))
        pairs = zip(first, second, strict=True)
        stated_difference = math.sqrt(np.mean([_variance(b, a) for a, b in pairs]))
        spread = value.std(ddof=1)
        yield (
            setting.name,
            str(setting.d),
            f"{np.mean(n):.0f}",
            str(setting.m),
            f"{value.mean():.3f}",
            f"{stated:.4f}",
            f"{spread:.4f}",
            f"{stated / spread:.2f}",
            f"{stated_difference / difference.std(ddof=1):.2f}",
        )


def replicate(setting: Setting, rng: np.random.Generator) -> tuple[Jackknife, Jackknife, int]:
    """The distances of two models that differ a little, on the same noise and the same real images."""
    d = setting.d
    population = np.random.default_rng(1)
    mix = population.normal(size=(d, d)) * np.exp(-4 * np.arange(d) / d) / math.sqrt(d)
    wrong = 0.1 * population.normal(size=(2, d, d)) / math.sqrt(d)
    persons = rng.normal(size=(setting.m // setting.pictures, d)).repeat(setting.pictures, 0)
    same = 0.8 if setting.pictures > 1 else 0.0
    own = rng.normal(size=persons.shape)
    real = (math.sqrt(same) * persons + math.sqrt(1 - same) * own) @ mix
    real_blocks = np.arange(len(real)) // setting.pictures % BLOCKS
    z = rng.normal(size=(setting.pool or setting.wanted, d))
    u = rng.random(len(z))
    found = []
    for error, tilt in ((wrong[0], 0.0), (wrong[0] + 0.2 * wrong[1], 0.1)):
        kept = np.arange(len(z))
        if setting.pool:
            accepted = u < 1 / (1 + np.exp(setting.hard - 2 * z[:, 0] - tilt * z[:, 1]))
            kept = np.flatnonzero(accepted)[: setting.wanted]
        blocks = blocks_of(len(z))
        one = jackknife(z[kept] @ (mix + error), real, blocks[kept], real_blocks)
        if len(kept) < setting.wanted:  # as the benchmark does: the pool would be drawn again
            one = replace(one, sample_shares=shares_of(blocks))
        found.append(one)
    return found[0], found[1], len(kept)


def _variance(one: Jackknife, without: Jackknife | None = None) -> float:
    """Of a distance, or of its difference to another on the same blocks."""
    parts = one.of_samples, one.of_reference
    if without is not None:
        parts = parts[0] - without.of_samples, parts[1] - without.of_reference
    return float(sum(np.square(part).sum() for part in parts))


if __name__ == "__main__":
    main()
