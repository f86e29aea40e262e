"""On a GPU, a system's networks compute in the run's precision, and nothing else does."""

import json

import pytest

from benchmarks import systems
from benchmarks.core.registry import REGISTRY

pytestmark = pytest.mark.slow
IN_FLOAT32 = {"interpolation"}  # path length, which divides by a small step (docs/numbers.md)
NO_NETWORK = {"pixels-pca"}  # its products are matrix products, which autocast rounds too


@pytest.fixture(scope="module")
def calls(on_gpu):
    """Calls of networks by precision and benchmark (tests/helpers/gpu_precision.py)."""
    ended = on_gpu("gpu_precision", "benchmarks")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def numbers(on_gpu):
    """Numbers by precision and system."""
    ended = on_gpu("gpu_precision", "systems")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("name", REGISTRY.own)
def test_every_call_of_a_system_is_in_the_run_s_precision(name, calls):
    """A check before it makes as many calls in bfloat16 as in float32, to compare the two."""
    exact, half = (calls[precision][name] for precision in ("float32", "bfloat16"))
    assert not any(where.endswith(" on") for where in exact)
    made, checked = half["diffae on"], half.get("diffae off", 0)
    if name in IN_FLOAT32:
        assert 0 < made < checked
    else:
        assert made - checked == exact["diffae off"] > 0


@pytest.mark.parametrize("name", REGISTRY.own)
def test_networks_of_metrics_compute_in_float32(name, calls):
    exact, half = (calls[precision][name] for precision in ("float32", "bfloat16"))
    of_metrics = {where: count for where, count in half.items() if "diffae" not in where}
    assert of_metrics == {where: exact[where] for where in of_metrics}
    assert of_metrics.keys() == {where for where in exact if "diffae" not in where}


@pytest.mark.parametrize("name", systems.REGISTRY.own)
def test_the_precision_changes_what_a_system_with_networks_gives(name, numbers):
    exact, half = (numbers[precision][name] for precision in ("float32", "bfloat16"))
    assert not exact["refused"]
    if exact["networks"] or name in NO_NETWORK:
        assert half != exact, "or refused, as too far from float32"
    else:
        assert half == exact
