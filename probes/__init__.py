"""Measuring what a code contains: features -> linear classifiers -> scores.

`linear` fits one logistic regression per attribute on frozen features (z_sem, pixels, another
network's code), `scores` measures the fits with standard errors, and `fewshot` trains the small
classifiers that turn an unconditional latent sampler into a class-conditional one:

    probe, C = fit_best(z_train, y_train, z_valid, y_valid)
    summary = summarise(probe.logits(z_test).numpy(), y_test.numpy(), names)

Features are float tensors [N, d] and labels are boolean or 0/1 [N, A]; the caller decides what
they are features and labels of.
"""

from probes.fewshot import (
    accept_probability,
    accept_threshold,
    accept_threshold_and_probability,
    binary_split,
    fit_binary,
    fit_pu,
    pu_split,
)
from probes.linear import LinearProbe, fit_adam_paper, fit_best, fit_lbfgs
from probes.scores import auroc, influences, summarise
from probes.softmax import fit_best_softmax, is_exclusive, top_hits

__all__ = [
    "LinearProbe",
    "accept_probability",
    "accept_threshold",
    "accept_threshold_and_probability",
    "auroc",
    "binary_split",
    "fit_adam_paper",
    "fit_best",
    "fit_best_softmax",
    "fit_binary",
    "fit_lbfgs",
    "fit_pu",
    "influences",
    "is_exclusive",
    "pu_split",
    "summarise",
    "top_hits",
]
