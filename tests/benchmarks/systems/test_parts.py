"""Arithmetic of codes: counted as in papers, read and moved as their parts declare, and checked."""

import math

import numpy as np
import pytest
import torch

from benchmarks.runtime.errors import NotAvailable
from benchmarks.systems import Code, SystemFailed
from benchmarks.systems.protocol import base, checked, parts
from benchmarks.systems.protocol.base import DECODE, ENCODE, SEMANTIC, System
from benchmarks.systems.protocol.parts import HISTOGRAM, POOLED, Part
from diffae.system.errors import UserError

CPU = torch.device("cpu")
SIZE = 8


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_sizes_are_those_of_the_papers_tables():
    """Preechakul et al. 2022, Table 1."""
    assert parts.numbers([Part.of_tokens((16, 16), 1024, 256)]) == 65_536
    levels = [Part.of_tokens((64, 64), 512, 64), Part.of_tokens((32, 32), 512, 64)]
    assert parts.numbers(levels) == 327_680
    assert parts.numbers([Part((14, 512))]) == 7_168
    assert parts.bits([Part.of_tokens((16, 16), 1024, 256)]) == 256 * 10
    assert parts.bits(levels) == (64**2 + 32**2) * 9
    assert parts.bits([Part((14, 512))]) is None
    assert parts.numbers([Part((8, None, None))]) is None


def test_readings():
    z = normal(5, 4, 3, 2)
    assert torch.equal(parts.read([Part((4, 3, 2))], z), z.reshape(5, 24))
    pooled = parts.read([Part((4, 3, 2), reading=POOLED)], z)
    torch.testing.assert_close(pooled, z.mean((2, 3)))
    for axis in (2, -1):
        pooled = parts.read([Part((4, 3, 2), reading=POOLED, axis=axis)], z)
        torch.testing.assert_close(pooled, z.mean((1, 2)))
    tokens = torch.tensor([[[0, 2], [2, 2]], [[1, 0], [1, 2]]])
    shares = parts.read([Part.of_tokens((2, 2), 5)], tokens)  # a codebook of more than the tokens
    assert shares.tolist() == [[0.25, 0, 0.75, 0, 0], [0.25, 0.5, 0.25, 0, 0]]
    several = parts.read(
        [Part((4, 3, 2), reading=POOLED), Part.of_tokens((2, 2), 5)], (z[:2], tokens)
    )
    torch.testing.assert_close(several, torch.cat([z[:2].mean((2, 3)), shares], dim=1))


@pytest.mark.parametrize(
    "made_of",
    [
        [Part((6,))],
        [Part((4, 3, 2))],
        [Part((4, 3, 2), reading=POOLED)],
        [Part((5, 7), reading=POOLED, axis=1)],
        [Part((4, 3, 2)), Part((5, 7), reading=POOLED, axis=-1), Part((2, 2), reading=POOLED)],
    ],
)
def test_a_move_by_delta_is_read_as_delta(made_of):
    code = tuple(normal(3, *part.shape) for part in made_of)
    code = code[0] if len(code) == 1 else code
    delta = normal(*parts.read(made_of, code).shape)
    moved = parts.move(made_of, code, delta)
    assert [part.shape for part in parts.tensors(moved)] == [p.shape for p in parts.tensors(code)]
    torch.testing.assert_close(parts.read(made_of, moved), parts.read(made_of, code) + delta)


def test_a_pooled_part_moves_everywhere_alike():
    z = torch.zeros(2, 3, 4, 4)
    moved = parts.move([Part((3, 4, 4), reading=POOLED)], z, normal(2, 3))
    assert torch.equal(moved, normal(2, 3)[:, :, None, None].expand(2, 3, 4, 4))


def test_tokens_neither_move_nor_have_anything_between_them():
    tokens = torch.zeros(2, 4, dtype=torch.int64)
    with pytest.raises(NotAvailable, match="tokens cannot be edited along a direction"):
        parts.move([Part.of_tokens((4,), 3)], tokens, torch.zeros(2, 3))
    with pytest.raises(NotAvailable, match="tokens cannot be interpolated"):
        parts.lerp(tokens, tokens, torch.tensor([0.5, 0.5]))


def test_to_arrays_and_back():
    tokens = torch.tensor([[70_000, 1]])
    for code in (normal(1, 3), tokens, (normal(1, 2, 2), tokens), (tokens, tokens)):
        arrays = parts.to_arrays(code, "z")
        assert all(array.itemsize == 4 for array in arrays.values())
        back = parts.from_arrays(arrays, "z")
        for ours, theirs in zip(parts.tensors(back), parts.tensors(code), strict=True):
            assert ours.dtype == theirs.dtype and torch.equal(ours, theirs)
    assert parts.to_arrays(None, "z") == {} and parts.from_arrays({"x": np.zeros(1)}, "z") is None
    assert list(parts.to_arrays(normal(1, 3), "z")) == ["z"]


FAULTS = [
    (dict(shape=(0,)), "a side of shape must be a whole number"),
    (dict(shape=(3,), codebook=0, reading=HISTOGRAM), "codebook must be a whole number from 1"),
    (dict(shape=(3,), codebook=8), "tokens are read by their histogram"),
    (dict(shape=(3,), reading=HISTOGRAM), "other parts flat or pooled"),
    (dict(shape=(3,), reading="mean"), "reading must be flat, pooled or histogram, not 'mean'"),
    (dict(shape=(3,), reading=POOLED), "no axes to take the mean over"),
    (dict(shape=(3, 4), reading=POOLED, axis=2), "there is no axis 2"),
    (dict(shape=(3,), width=4), "this part has no codebook"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), FAULTS)
def test_a_part_that_cannot_be_is_refused(fields, words):
    with pytest.raises(UserError) as refusal:
        Part(**fields)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_a_system_without_a_semantic_code_says_that_it_has_none():
    """Not that a part of it has no numbers, which nobody wrote."""

    class Sampler(System):
        title, capabilities, latent_dim = "Sampler", frozenset({DECODE}), 12

    with pytest.raises(NotAvailable, match="^Sampler cannot encode a semantic code$"):
        base.parts_of(Sampler())
    Sampler.capabilities = frozenset({SEMANTIC})  # all of its numbers, unless it says otherwise
    assert base.parts_of(Sampler()) == (Part((12,)),)


# ----------------------------------------------------------------------------------------------
# Checked


class Mixed(System):
    """A map and tokens."""

    title, image_size, fingerprint = "Mixed", SIZE, "1"
    capabilities = frozenset({ENCODE, DECODE, SEMANTIC})
    semantic_parts = (Part((3, 2, 2), reading=POOLED), Part.of_tokens((4,), 16, width=2))
    latent_dim = 12 + 8
    returned = None

    def __init__(self, path, device):
        pass

    def encode_semantic(self, images):
        if self.returned is not None:
            return self.returned
        count = len(images)
        return torch.zeros(count, 3, 2, 2), torch.full((count, 4), 15)

    def decode(self, code, steps=100):
        return torch.zeros(len(code.semantic[0]), 3, SIZE, SIZE)


def build(**fields):
    return checked.build("mine", type("Mine", (Mixed,), fields), None, CPU)


def images(count=2):
    return torch.zeros(count, 3, SIZE, SIZE)


def test_a_code_of_several_kinds_gets_through():
    system = build()
    assert (system.semantic_dim, system.latent_dim, system.code_bits) == (20, 20, None)
    code = system.encode(images())
    assert [part.dtype for part in code.semantic] == [torch.float32, torch.int64]
    assert system.decode(code).shape == images().shape
    assert system.read(code.semantic).shape == (2, 3 + 16)


def test_a_system_may_read_and_move_its_tokens_itself():
    table = torch.linspace(-1, 1, 16)

    class Knows(Mixed):
        semantic_parts = (Part.of_tokens((4,), 16),)
        latent_dim = 4

        def encode_semantic(self, images):
            return torch.tensor([[3, 3, 3, 5]]).repeat(len(images), 1)

        def read(self, semantic):
            return table[semantic]

        def move(self, semantic, delta):
            return (table[semantic] + delta - table[:, None, None]).abs().argmin(0)

    system = checked.build("mine", Knows, None, CPU)
    z = system.encode_semantic(images(1))
    assert system.code_bits == 16 and base.why_immovable(system) == ""
    torch.testing.assert_close(system.read(z), table[z])
    assert system.move(z, torch.full((1, 4), float(table[1] - table[0]))).tolist() == [[4, 4, 4, 6]]


MAP, TOKENS = torch.zeros(2, 3, 2, 2), torch.zeros(2, 4, dtype=torch.int64)
RETURNED = [
    (MAP, "returned Tensor, not 2 tensors"),
    ((MAP,), "returned tuple, not 2 tensors"),
    ((MAP, MAP), "returned 2 x 3 x 2 x 2, not 2 x 4"),
    ((MAP.long(), TOKENS), "returned int64, not floating point"),
    ((MAP, TOKENS.float()), "returned float32 for tokens, not whole numbers"),
    ((MAP, TOKENS + 16), "returned tokens from 16 to 16; the codebook goes from 0 to 15"),
    ((MAP / 0, TOKENS), "values not finite"),
]  # fmt: skip


@pytest.mark.parametrize(("returned", "words"), RETURNED)
def test_each_part_is_checked(returned, words):
    with pytest.raises(SystemFailed) as failure:
        build(returned=returned).encode(images())
    assert str(failure.value).startswith("system 'mine', encode: ") and words in str(failure.value)


SAID = [
    (dict(semantic_parts=()), "fields: semantic_parts must be a tuple of one Part or more, not ()"),
    (dict(code_bits=-1), "fields: code_bits must be a positive number, not -1"),
]


@pytest.mark.parametrize(("fields", "words"), SAID)
def test_what_a_system_says_of_its_parts_is_checked(fields, words):
    with pytest.raises(SystemFailed) as failure:
        build(**fields)
    assert words in str(failure.value)


def test_a_map_may_be_as_large_as_the_image_makes_it():
    class Any(Mixed):
        image_size = None
        semantic_parts = (Part((3, None, None), reading=POOLED),)
        latent_dim = 3 * 4 * 4  # at the size that it was trained at

        def encode_semantic(self, images):
            return images[..., ::2, ::2]

        def decode(self, code, steps=100):
            return code.semantic.repeat_interleave(2, -1).repeat_interleave(2, -2)

    system = checked.build("mine", Any, None, CPU)
    for side in (8, 12):
        code = system.encode(torch.zeros(2, 3, side, side))
        assert code.semantic.shape == (2, 3, side // 2, side // 2)
        assert system.decode(code).shape == (2, 3, side, side)
        assert system.read(code.semantic).shape == (2, 3)
    assert system.semantic_dim == 48 and math.isfinite(system.latent_dim)
    assert system.decode(Code(torch.zeros(1, 3, 5, 5))).shape == (1, 3, 10, 10)


def test_a_part_of_an_image_that_is_wider_than_high():
    assert Part((3, None, None)).at(8, 20, 4).shape == (3, 2, 5)
    assert Part.of_tokens((None,), 16).at(8, 20, 4) == Part.of_tokens((10,), 16)
    assert Part((3, 2, 2)).at(8, 20, 4) == Part((3, 2, 2))
    with pytest.raises(UserError, match="at most two axes may be None"):
        Part((None, None, None))


X_T = {"capabilities": Mixed.capabilities | {base.STOCHASTIC}}
COUNTED = [
    ({}, (20, 20, None)),
    ({"semantic_parts": (Part((3, None, None)), Part.of_tokens((None,), 16, 2)), "stride": 4}, (20, 20, None)),
    ({"semantic_parts": (Part.of_tokens((None,), 16, 2),), "stride": 4}, (8, 8, 16)),
    (X_T, (20 + 3 * SIZE**2, 20, None)),
    ({"semantic_parts": None, "semantic_dim": 7}, (7, 7, None)),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "expected"), COUNTED)
def test_the_size_of_a_code_follows_from_its_parts(fields, expected):
    system = build(latent_dim=0, **fields)
    assert (system.latent_dim, system.semantic_dim, system.code_bits) == expected


def test_a_size_that_does_not_follow_is_asked_for():
    free = {"semantic_parts": (Part((3, None, None)), Part.of_tokens((4,), 16, 2))}
    with pytest.raises(SystemFailed, match="latent_dim is missing: set it, or semantic_parts"):
        build(latent_dim=0, **free)
    with pytest.raises(
        SystemFailed, match="encode: returned 20 numbers per image, not 56: set lat"
    ):
        build(latent_dim=0, stride=2, **free).encode(images())
    of_its_own_stride = build(latent_dim=20, stride=2, **free)
    assert of_its_own_stride.encode(images()).semantic[0].shape == (2, 3, 2, 2)
