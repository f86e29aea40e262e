"""The two halves of the table of metrics agree: what they mean, and how they are computed."""

import importlib
import pkgutil
from collections import Counter

import pytest

import benchmarks.metrics
from benchmarks.metrics.groups import GROUPS, group_of
from reports.records.metrics import SHIPPED, published_name


def test_each_metric_of_the_table_is_computed_by_one_group():
    computed = Counter(metric for group in GROUPS for metric in group.metrics)
    assert computed == Counter({published_name(metric) for metric in SHIPPED})


def test_every_group_that_a_module_declares_is_in_the_table():
    modules = pkgutil.walk_packages(benchmarks.metrics.__path__, "benchmarks.metrics.")
    for module in map(importlib.import_module, (module.name for module in modules)):
        assert set(getattr(module, "GROUPS", ())) <= set(GROUPS), module.__name__


def test_a_stand_in_is_computed_as_the_metric_that_it_stands_in_for():
    for metric in SHIPPED:
        assert published_name(metric) in group_of(metric).metrics
    assert group_of("rkd_effnet").metrics == ("rkid",)
    assert group_of("id_dlib") is group_of("arcface")
    with pytest.raises(KeyError):
        group_of("no_such_metric")
