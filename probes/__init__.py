"""Measure what a code contains: fit linear classifiers to features, and score them.

`linear` fits one logistic regression per attribute on frozen features (z_sem, pixels, another
network's code), `scores` measures the fits with standard errors, and `fewshot` trains the small
classifiers that turn an unconditional latent sampler into a class-conditional one:

    probe, C = fit_best(z_train, y_train, z_valid, y_valid)
    summary = summarise(probe.logits(z_test).numpy(), y_test.numpy(), names)

Features are float tensors [N, d] and labels are boolean or 0/1 [N, A]; the caller decides what
they are features and labels of.
"""

from probes.fewshot import accept_probability as accept_probability
from probes.fewshot import accept_threshold as accept_threshold
from probes.fewshot import accept_threshold_and_probability as accept_threshold_and_probability
from probes.fewshot import binary_split as binary_split
from probes.fewshot import fit_binary as fit_binary
from probes.fewshot import fit_pu as fit_pu
from probes.fewshot import pu_split as pu_split
from probes.linear import LinearProbe as LinearProbe
from probes.linear import fit_adam_paper as fit_adam_paper
from probes.linear import fit_best as fit_best
from probes.linear import fit_lbfgs as fit_lbfgs
from probes.scores import auroc as auroc
from probes.scores import influences as influences
from probes.scores import summarise as summarise
from probes.softmax import fit_best_softmax as fit_best_softmax
from probes.softmax import is_exclusive as is_exclusive
from probes.softmax import top_hits as top_hits
