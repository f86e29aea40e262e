"""What makes the host wait for a GPU, counted on the pretend one."""

import json

import pytest

from diffae.diffusion.scheme import METHODS, find

STEPS = [
    "latent DDIM: a step",
    *(f"{name}: a step of decoding" for name in METHODS),
    *(f"{name}: a step of encoding" for name in METHODS if find(name).inverts),
    "D2C: a step of sampling",
    "StyleGAN2: images of a batch",
    "StyleGAN2: a step of inversion",
]


@pytest.fixture(scope="module")
def found(on_gpu):
    """Waits and copies by the name of the work (tests/helpers/waits.py)."""
    ended = on_gpu("waits")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_known_work_is_counted(found):
    """A copy to the GPU and one back, a number read, a choice by a mask; a copy that waits for nothing."""
    assert found["known work"] == [4, 3]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_neither_waits_nor_copies(name, found):
    assert found[name] == [0, 0]


@pytest.mark.parametrize(
    ("name", "waits"),
    [
        # Images to the GPU and their range, for the encoder and for the inversion; z_sem and x_T.
        ("encode a batch", 5),
        ("decode a batch", 1),  # the images
        ("a step of training", 1),  # loss and norm
    ],
)
def test_a_batch_waits_for_its_checks_alone(name, waits, found):
    assert found[name][0] == waits


def test_nothing_else_is_measured(found):
    rest = ("known work", "encode a batch", "decode a batch", "a step of training")
    assert found.keys() == {*STEPS, *rest}
