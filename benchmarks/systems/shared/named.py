"""Modules in a row under names of their own: how published checkpoints nest what is computed one after the other."""

from collections import OrderedDict

from torch import nn


def named(**modules: nn.Module) -> nn.Sequential:
    """`nn.Sequential` of modules by name."""
    return nn.Sequential(OrderedDict(modules))
