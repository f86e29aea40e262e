"""Probes and their fits, which are kept in the store."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from benchmarks import probes
from benchmarks.systems.dummy import Constant
from probes import LinearProbe


class Colours(Constant):
    """Code: the mean colour of each of four quarters."""

    name = title = "colours"

    def encode_semantic(self, images):
        return torch.nn.functional.avg_pool2d(images, 16).flatten(1)


@pytest.fixture
def labelled(context):
    attributes = np.random.default_rng(0).random((150, 3)) < 0.5
    context.dataset = replace(
        context.dataset, attribute_names=("a", "b", "c"), attributes=attributes
    )
    return context


@pytest.mark.parametrize("fit", [probes.fit, probes.fit_adam])
def test_a_fit_is_made_once_for_the_same_data(fit, labelled, monkeypatch):
    system = Colours(None, torch.device("cpu"))
    first = fit(labelled, system)

    def again(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(probes, "fit_best", again)
    monkeypatch.setattr(probes, "fit_adam_paper", again)
    second = fit(labelled, system)
    for field in fields(LinearProbe):
        kept, made = getattr(second, field.name), getattr(first, field.name)
        torch.testing.assert_close(kept, made, rtol=0, atol=0)
    labelled.dataset = replace(labelled.dataset, attributes=~labelled.dataset.attributes)
    with pytest.raises(AssertionError, match="fitted again"):
        fit(labelled, system)
