"""Counts against closed forms and the authors' networks; timings, once."""

import gc
import math
import re
from dataclasses import replace
from functools import partial
from itertools import chain, takewhile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_systems import Everything
from systems import noted
from torch import nn
from torch.nn import functional

from benchmarks import evaluate
from benchmarks.core.runner.evaluation import rows
from benchmarks.metrics import counting
from benchmarks.systems import as_system, load
from benchmarks.systems.protocol.base import System
from benchmarks.tasks import cost as benchmark
from diffae.model import DiffusionAutoencoder
from diffae.networks.config import ARCHITECTURES

CPU = torch.device("cpu")


@pytest.fixture
def ddim(untrained):
    return load("ddim", untrained / "ddim")


def run(context, system):
    return {(r.metric, r.setting, r.steps): r for r in rows(benchmark.BENCHMARK, context, [system])}


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (nn.Linear(3, 5), (2, 3), 2 * 2 * 3 * 5),
        (nn.Conv2d(3, 4, 3, padding=1), (1, 3, 8, 8), 2 * 64 * 3 * 4 * 9),
    ],
)
def test_operations_count_two_for_a_multiply_add(layer, shape, expected):
    assert counting.flops(lambda: layer(torch.zeros(shape))) == expected


def test_operations_of_attention_count_whichever_kernel_computes_it():
    q = torch.zeros(1, 1, 10, 8)
    for values in (q, q[..., :5]):  # fused, and not
        attend = partial(functional.scaled_dot_product_attention, q, q, values)
        assert counting.flops(attend) == 2 * 10 * 10 * (8 + values.shape[-1])


def test_operations_and_parameters_of_the_authors_networks():
    """celeba64d2c needs 3.1 G for the encoder and 26.7 G for the UNet; on the meta device they cost
    nothing.

    Of the convolutions of enlarged images ours do 16 products of 36 (`enlarged_conv`): three of
    them, one a level.
    """
    with torch.device("meta"):
        model = DiffusionAutoencoder(ARCHITECTURES["celeba64d2c_autoenc"]).eval()
        images, t, z = torch.zeros(1, 3, 64, 64), torch.zeros(1), torch.zeros(1, 512)
        large = DiffusionAutoencoder(ARCHITECTURES["ffhq256_autoenc"])
    with torch.inference_mode():
        assert counting.flops(lambda: model.encoder(images)) == pytest.approx(3.1e9, rel=0.02)
        ours = counting.flops(lambda: model.unet(images, t, z))
    enlarged = sum(
        2 * 9 * (size * channels) ** 2 for size, channels in ((16, 512), (32, 256), (64, 128))
    )
    assert ours + enlarged * 20 / 36 == pytest.approx(26.7e9, rel=0.002)
    assert counting.parameters([large.encoder, large.unet]) == 168_492_291


def test_shared_parameters_count_once():
    layer = nn.Linear(3, 5)
    assert counting.parameters([layer, nn.Sequential(layer)]) == 20


def test_calls_are_counted_and_the_network_is_left_as_it_was(ddim):
    x_T = torch.zeros(2, 3, 32, 32)
    for steps in (1, 3):
        decode = lambda steps=steps: ddim.inner.model.decode(x_T, steps)  # noqa: E731
        assert counting.network_calls(decode, ddim.networks().values()) == steps
    assert not ddim.inner.model.unet._forward_pre_hooks


class Entered(nn.Module):
    """A network whose methods call its parts."""

    def __init__(self):
        super().__init__()
        self.layer, self.act = nn.Linear(3, 3), nn.ReLU()

    def encode(self, x):
        return self.act(self.layer(self.act(self.layer(x))))

    def decode(self, z):
        return self.encode(z)

    forward = encode


CALLS = {
    "the network": (lambda net, x: net(net(x)), 2),
    "its methods": (lambda net, x: net.decode(net.encode(x)), 2),
    "its parts": (lambda net, x: net.act(net.layer(net.act(net.layer(net.act(x))))), 3),
    "no network": (lambda net, x: x, 0),
}


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_of_a_method_or_of_parts_is_one_of_the_network(kind):
    net, x = Entered(), torch.zeros(1, 3)
    net.decode = own = partial(Entered.decode, net)
    before = [dict(vars(part)) for part in net.modules()]
    call, expected = CALLS[kind]
    assert counting.network_calls(lambda: call(net, x), [net]) == expected
    assert counting.network_calls(lambda: call(net, x), [net, nn.Sequential(net)]) == 2 * expected
    with pytest.raises(TypeError):
        counting.network_calls(lambda: net.encode(), [net])
    assert [dict(vars(part)) for part in net.modules()] == before and net.decode is own


def counted(context, system):
    """Its parameters by network."""
    found = rows(benchmark.BENCHMARK, context, [system])
    return {r.setting: r.value for r in takewhile(lambda r: r.metric == "parameters", found)}


def test_the_rows_of_a_system(context, ddim):
    found = {key: row for key, row in run(context, ddim).items() if not row.of_machine}
    assert found["parameters", "total", None].value == counting.parameters([ddim.inner.model.unet])
    assert found["parameters", "UNet", None].value == found["parameters", "total", None].value
    for steps in context.sizes(benchmark.Sizes).steps:
        for verb in ("encode, stochastic", "decode"):
            assert found["network_calls", verb, steps].value == steps
    x, t = torch.zeros(1, 3, 32, 32), torch.zeros(1)
    expected = counting.flops(lambda: ddim.inner.model.unet(x, t))
    assert found["gflops", "decode", None].value == expected / 1e9
    assert {metric for metric, _, _ in found} == {"parameters", "gflops", "network_calls"}


def test_the_parts_of_a_system_add_up(context, untrained):
    """A semantic encoder, a UNet and a latent network, each called by its own verb."""
    system = load("diffae", untrained / "diffae")
    parts = {name: counting.parameters([network]) for name, network in system.networks().items()}
    found = counted(context, system)
    assert len(parts) == 3 and min(parts.values()) > 0
    assert found == parts | {"total": sum(parts.values())}


def test_what_two_parts_share_counts_once_in_the_total(context, ddim, monkeypatch):
    layer, last = nn.Linear(3, 5), nn.Linear(5, 1)
    parts = {"encoder": layer, "decoder": nn.Sequential(layer, last)}
    monkeypatch.setattr(ddim, "networks", lambda: parts)
    assert counted(context, ddim) == {"encoder": 20, "decoder": 26, "total": 26}


def test_a_linear_projection(context):
    system = load("pixels-pca")
    system.fit([torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))])
    found = run(context, system)
    for verb in ("encode, semantic", "decode"):
        assert found["gflops", verb, None].value == 2 * 40 * 3072 / 1e9
    record = found["parameters", "total", None]
    assert record.value is None and record.note == "pixels + PCA names no networks"


def test_times_are_measured_once(context, ddim, monkeypatch):
    first = run(context, ddim)
    time = first["images_per_second", "decode", 2]
    assert time.value > 0 and time.of_machine
    assert time.measured_by["batch_size"] == "2" and time.measured_by["device_name"]
    assert not first["gflops", "decode", None].of_machine

    def again(*_):
        raise AssertionError("measured a second time")

    monkeypatch.setattr(counting, "median_seconds", again)
    assert run(context, ddim) == first


class OfAnySize(System):
    """Its code is the mean colour. It knows the side of the last images."""

    name = title = fingerprint = "of any size"
    capabilities = frozenset({"encode", "decode", "semantic"})
    image_size, latent_dim, side = None, 3, 0

    def encode_semantic(self, images):
        self.side = images.shape[-1]
        return images.mean((2, 3))

    def decode(self, code, steps=100):
        return code.semantic[:, :, None, None].expand(-1, -1, self.side, self.side)


def test_a_system_of_images_of_any_size_is_timed_at_their_size(context, monkeypatch):
    """In one store: images of another size take another time."""
    system = OfAnySize()
    monkeypatch.setattr(counting, "median_seconds", lambda *_: 1 / system.side)
    for side in (16, 32):
        found = run(replace(context, dataset=context.dataset.at(side)), as_system(system))
        rows = [row for (metric, *_), row in found.items() if metric == "images_per_second"]
        assert [row.value / row.n for row in rows] == 2 * [side]


def test_a_speed_is_images_over_the_median(context):

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "median_seconds", lambda work, repeats, device: 0.5)
        found = run(context, load("dummy-perfect"))
    assert found["gflops", "decode", None].value == 0
    speeds = {row.value for (metric, *_), row in found.items() if metric == "images_per_second"}
    assert speeds == {context.sizes(benchmark.Sizes).batch / 0.5}


@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_times_and_memory_are_of_whole_batches_whatever_the_batch_size(
    batch_size, patches, monkeypatch
):
    """`cost.batch` images at a time, which the row states, in every verb."""
    system, taken = Everything(), []
    calls = noted(system)

    def measured(work, *_):
        for counts in calls.values():
            counts.clear()
        work()
        taken.append(tuple(chain(*calls.values())))
        return 0.5

    monkeypatch.setattr(counting, "median_seconds", measured)
    monkeypatch.setattr(counting, "peak_memory", measured)
    found = evaluate(
        system,
        "cost",
        str(patches.root),
        "smoke",
        batch_size=batch_size,
        settings={"cost.batch": 5},
    )
    assert taken == 2 * len(benchmark.VERBS) * [(5,)]
    speeds = [row for row in found.times if row.metric == "images_per_second"]
    assert [(row.value, row.n) for row in speeds] == len(benchmark.VERBS) * [(10.0, 5)]


def test_work_within_one_tick_of_the_clock_still_has_a_rate(monkeypatch):
    frozen = SimpleNamespace(perf_counter=lambda: 5.0)
    monkeypatch.setattr(counting, "time", frozen)
    assert 0 < counting._seconds(lambda: None, CPU) < 1e-6


def test_peak_memory_sees_what_is_freed_again():
    gc.collect()  # or what earlier tests left is freed in the middle
    small = counting.peak_memory(lambda: None, CPU)
    if math.isnan(small):
        pytest.skip("the high-water mark cannot be reset here")
    large = counting.peak_memory(lambda: torch.ones(64 * 2**18).sum(), CPU)  # 64 MiB
    assert 60 < large - small < 80
    assert counting.peak_memory(lambda: None, CPU) < large - 40


def test_peak_memory_is_in_mib():
    """Linux has the high-water mark in units of 1,024 bytes; nothing raises it after the work."""
    found = counting.peak_memory(lambda: torch.ones(64 * 2**18).sum(), CPU)
    if math.isnan(found):
        pytest.skip("the high-water mark cannot be reset here")
    status = Path("/proc/self/status").read_text()
    (kibibytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    assert found * 2**20 == pytest.approx(int(kibibytes) * 1024, rel=0.01)
