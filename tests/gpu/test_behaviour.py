"""The pretend GPU refuses what a GPU refuses, memory errors make batches smaller, and what makes the
host wait is counted.
"""

import json

import pytest
from memory_errors import OF_A_GPU

from benchmarks.runtime.choices import PRECISIONS
from diffae.diffusion.scheme import METHODS, find

REFUSED = {
    "two devices": "RuntimeError: Expected all tensors to be on the same device",
    "an index on the GPU": "RuntimeError: indices should be either on cpu or",
    "numpy": "TypeError: can't convert cuda:0 device type tensor to numpy",
    "a generator of the CPU": "RuntimeError: Expected a 'cuda' device type for generator",
    "a product of integers": 'RuntimeError: "addmm_cuda" not implemented for',
    "resized bytes": 'RuntimeError: "upsample_bilinear2d_out_frame" not implemented',
    "a second GPU": "RuntimeError: CUDA error: invalid device ordinal",
}


STEPS = [
    "latent DDIM: a step",
    *(f"{name}: a step of decoding" for name in METHODS),
    *(f"{name}: a step of encoding" for name in METHODS if find(name).inverts),
    "D2C: a step of sampling",
    "StyleGAN2: images of a batch",
    "StyleGAN2: a step of inversion",
]


@pytest.fixture(scope="module")
def both(on_pretended_gpu):
    """What two programs tell, in one process: it takes seconds to start (tests/helpers/gpu_fast.py)."""
    ended = on_pretended_gpu("gpu_fast")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def found(both):
    return both["behaviour"]


@pytest.fixture(scope="module")
def waits(both):
    """Waits and copies by the name of the work (tests/helpers/waits.py)."""
    return both["waits"]


@pytest.mark.parametrize("work", REFUSED)
def test_what_a_gpu_refuses_is_refused(work, found):
    assert found["refused"][work].startswith(REFUSED[work])


def test_freed_memory_stays_cached_until_it_is_given_back(found):
    """As torch.cuda counts: a view holds its tensor's memory."""
    assert found["cached"] == [[4, 4], [4, 4], [0, 4], [0, 0]]


def test_peak_memory_is_of_the_work_alone_and_without_what_is_cached(found):
    assert found["peak"] == 12


def test_a_time_is_of_the_work_alone_and_of_all_of_it(found):
    """The clock stops when the GPU is done; the first time is not counted, nor what came before."""
    assert found["seconds"] == 4


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_system_computes_as_asked_on_either_device(name, device, found):
    expected = "bfloat16" if name == "bfloat16" else "float32"
    assert found["products"][name][device] == expected


@pytest.mark.parametrize("error", OF_A_GPU)
def test_a_batch_that_does_not_fit_is_halved_and_gives_the_same_numbers(error, found):
    halved = found["halved"][error]
    assert halved["found"] == {"encode": 2, "decode": 2}
    assert halved["difference"] < 1e-5


def test_a_smaller_batch_is_tried_with_the_memory_of_the_larger_given_back(found):
    """A library that does not know PyTorch's cache, which is full here, finds room only so."""
    halved = found["halved"]["cached"]
    assert halved["found"] == {"encode": 4} and halved["difference"] < 1e-5


# ----------------------------------------------------------------------------------------------
# What makes the host wait for a GPU


def test_known_work_is_counted(waits):
    """A copy to the GPU and one back, a number read, a choice by a mask; a copy that waits for nothing."""
    assert waits["known work"] == [4, 3]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_neither_waits_nor_copies(name, waits):
    assert waits[name] == [0, 0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Images to the GPU and their range, for the encoder and for the inversion; z_sem and x_T.
        ("encode a batch", 5),
        ("decode a batch", 1),  # the images
        ("a step of training", 1),  # loss and norm
    ],
)
def test_a_batch_waits_for_its_checks_alone(name, expected, waits):
    assert waits[name][0] == expected


def test_nothing_else_is_measured(waits):
    rest = ("known work", "encode a batch", "decode a batch", "a step of training")
    assert waits.keys() == {*STEPS, *rest}
