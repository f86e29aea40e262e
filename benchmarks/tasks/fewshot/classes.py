"""Few-shot classifiers of latents: the class, the labelled images and the rule of acceptance.

The first half of the benchmark `fewshot` (Table 3 of the paper); the other half samples and
measures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from torch import Tensor

import probes
from benchmarks.core.sizes import Number, Solver
from benchmarks.plugin import Context, Count, Steps
from benchmarks.tasks.shared.probe_fits import prevalent
from probes import LinearProbe

Acceptance = Literal["probability", "threshold", "reject"]  # the names of RULES
SCENARIOS = ("binary", "pu")  # k of each class; positives against unlabelled images
# The paper's names of the positive and of the negative class, by attribute.
CLASSES = {"Male": ("Male", "Female"), "Blond_Hair": ("Blond", "Non-Blond")}


@dataclass(frozen=True)
class Sizes:
    """
    reference      images from which the real ones of a class are taken
    pool           latents sampled before rejection
    samples        accepted latents of each class that are needed
    seeds          draws of the labelled images
    steps          T of the samples
    solver         solver that takes these steps
    binary_k       labelled images of each class
    pu_positives   labelled images of the class
    pu_unlabeled   unlabelled images, taken as negatives
    acceptance     rules by which latents are accepted, see RULES
    frechet_error  give Frechet distances a standard error: each is computed 40 times more
    """

    reference: Count = 2_048
    pool: Count = 640
    samples: Count = 128
    seeds: Number = 3
    steps: Steps = 10
    solver: Solver = "fast"
    binary_k: Number = 50
    pu_positives: Number = 100
    pu_unlabeled: Count = 2_000
    acceptance: tuple[Acceptance, ...] = ("probability",)
    frechet_error: bool = False


@dataclass(frozen=True)
class Rule:
    """How latents are accepted, and how the classifier that decides is trained (reference: Table 3).

    `accept` takes the probability of the wanted class and a uniform number. With `ema_decay`, the
    classifier is the moving average of the weights, as in the authors' code; `steps` are those of
    (binary, PU).
    """

    description: str
    accept: Callable[[Tensor, Tensor], Tensor]
    steps: tuple[int, int] = (1_562, 3_125)
    ema_decay: float | None = None


# The paper's text gives the first; the authors' code, at different times, the others. Which of them made
# Table 3 is not recorded.
RULES = {
    "probability": Rule("u < p (the paper's text)", probes.accept_probability),
    "threshold": Rule("p > 0.5 (the authors' code)", probes.accept_threshold),
    "reject": Rule(
        "p > 0.5 and u < p, EMA classifier of 18,750 steps (the authors' code)",
        probes.accept_threshold_and_probability,
        steps=(18_750, 18_750),
        ema_decay=0.9999,
    ),
}


@dataclass(frozen=True)
class Target:
    """A class to sample: the images whose attribute `column` equals `positive`."""

    name: str
    column: int
    positive: bool

    def members(self, labels: np.ndarray) -> np.ndarray:
        return labels[:, self.column] == self.positive


def targets(context: Context) -> list[Target]:
    """The chosen attributes, or the paper's two, or else the two most prevalent, and their opposites."""
    names = context.dataset.attribute_names
    chosen = context.options.attributes or [name for name in CLASSES if name in names]
    chosen = chosen or list(islice(prevalent(context), 2)) or names[:2]
    return [
        Target(title, names.index(name), positive)
        for name in chosen
        for title, positive in zip(
            CLASSES.get(name, (name, f"not {name}")), (True, False), strict=True
        )
    ]


@dataclass(frozen=True)
class Setup:
    """One cell of Table 3: the scenario, the rule and the class."""

    scenario: str
    rule: Rule
    target: Target

    @property
    def setting(self) -> str:
        return f"{self.scenario}/{self.target.name}"

    @property
    def steps(self) -> int:
        """Steps of the classifier's training."""
        return self.rule.steps[SCENARIOS.index(self.scenario)]

    def split(self, sizes: Sizes, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The positions of the images of `labels` [N, A] that `seed` draws, as positives and negatives.

        Raises ValueError if a class has too few images.
        """
        members = self.target.members(labels)
        if self.scenario == "binary":
            return probes.binary_split(members, sizes.binary_k, seed)
        return probes.pu_split(members, sizes.pu_positives, sizes.pu_unlabeled, seed)


def labelled(sizes: Sizes, scenario: str) -> dict[str, int]:
    """Numbers of labelled images of a scenario, as fields of the protocol."""
    if scenario == "binary":
        return {"k": sizes.binary_k}
    return {"positives": sizes.pu_positives, "unlabeled": sizes.pu_unlabeled}


def classifier(
    sizes: Sizes, setup: Setup, features: Tensor, labels: np.ndarray, seed: int
) -> LinearProbe:
    """Train a classifier on images that `seed` draws.

    They are drawn from those with codes `features` [N, d] and `labels` [N, A]. Raises ValueError if
    a class has too few images.
    """
    drawn = setup.split(sizes, labels, seed)
    fit = probes.fit_binary if setup.scenario == "binary" else probes.fit_pu
    decay = setup.rule.ema_decay
    return fit(features, *drawn, steps=setup.steps, seed=seed, ema_decay=decay)
