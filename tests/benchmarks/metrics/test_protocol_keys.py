"""Cases share scores and features by name: what has one name is the same, whichever field of a protocol differs."""

import zlib
from dataclasses import replace
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
import torch

from benchmarks.metrics.protocols.cases import ImageCase, compute
from benchmarks.metrics.protocols.schema import METRICS, SECTIONS, ImageProtocol, settings_of

COUNT, SIDE = 4, 12  # batches of 1 and 2 images divide them
BATCHES = (1, 2)


class Networks:
    """What a network gives depends on its name and on how it was asked for."""

    def feature_network(self, *how):
        def features(images):
            wide = images.float() / 255
            return (wide + 0.01 * wide.square()).mean((2, 3)) + zlib.crc32(
                "".join(how).encode()
            ) % 97

        return features

    def perceptual_distance(self, trunk):
        def distance(a, b, *, clamped=True):
            a, b = (x.clamp(-1, 1) if clamped else x for x in (a, b))
            return (a - b).square().mean((1, 2, 3)) * len(trunk)

        return distance


def values(hint):
    """All values of a field."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return (True, False) if hint is bool else BATCHES


def neighbours(protocol, metric):
    """The protocols that differ in one field that the metric depends on."""
    for name in ("pixels", metric):
        section = getattr(protocol, name)
        for field, hint in settings_of(SECTIONS[name]).items():
            for value in values(hint):
                if value != getattr(section, field):
                    yield replace(protocol, **{name: replace(section, **{field: value})})


@pytest.fixture(scope="module")
def pairs():
    """Originals as files, decodes beyond [-1, 1] between the levels of files, and these clamped."""
    draw = torch.Generator().manual_seed(0)
    originals = torch.randint(0, 256, (COUNT, 3, SIDE, SIDE), generator=draw).byte()
    spread = torch.linspace(0.3, 1.4, COUNT)[:, None, None, None]  # ranges of unlike batches
    decoded = spread * (originals / 127.5 - 1) + 0.013
    return decoded.clamp(-1, 1), originals, decoded


@pytest.mark.parametrize("metric", METRICS)
def test_what_has_one_name_is_the_same(metric, pairs):
    made, originals, decoded = pairs
    plain = ImageProtocol("plain", "", "", **{metric: SECTIONS[metric]()})
    firsts = [plain, *neighbours(plain, metric)]
    known, seen = {}, 0
    # a protocol is a value: each once
    for protocol in dict.fromkeys(p for one in firsts for p in (one, *neighbours(one, metric))):
        case = ImageCase(metric, protocol)
        for name, array in compute([case], Networks(), made, originals, decoded).items():
            before = known.setdefault(name, array)
            np.testing.assert_array_equal(before, array, err_msg=f"{name}: {protocol}")
            seen += before is not array
    assert seen and len(known) > 2
