"""Sequences of named modules, as published checkpoints nest them."""

from collections import OrderedDict

from torch import nn


def named(**modules: nn.Module) -> nn.Sequential:
    """An `nn.Sequential` of modules by name."""
    return nn.Sequential(OrderedDict(modules))
