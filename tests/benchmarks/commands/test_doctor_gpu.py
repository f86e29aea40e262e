"""`doctor --gpu`: its checks with the CPU in the GPU's place. tests/gpu has those on a pretend GPU."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pytorch_fid.fid_score import calculate_frechet_distance
from tiny_preset import TINY
from tiny_training import untrained

from benchmarks import run
from benchmarks.commands import doctor_gpu
from benchmarks.commands.doctor_gpu import FAIL, NOT_MEASURED, PASS, SEEN
from benchmarks.systems.diffusion import DiffAESystem
from diffae.model import DiffusionAutoencoder
from diffae.networks.counting import flops
from diffae.system import cli
from diffae.system.errors import UserError
from diffae.train.presets import PRESETS
from diffae.train.types import BFLOAT16, FLOAT32

CPU = torch.device("cpu")
GREY_LEVEL = 1 / 127.5
MODEL = replace(TINY.model, dropout=0.0, image_size=16)


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    folder = untrained(tmp_path_factory.mktemp("tiny"), MODEL)
    return doctor_gpu.Sizes(str(folder), 3, 1, 8, "tiny", (2, 4))


@pytest.fixture
def timed(monkeypatch):
    """The tiny preset, of whose work every call takes half a second; a setting of each call."""
    settings = []

    def half(work, repeats, device):
        settings.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")))
        return 0.5

    monkeypatch.setitem(PRESETS, "tiny", replace(TINY, model=MODEL))
    monkeypatch.setattr(doctor_gpu, "median_seconds", half)
    monkeypatch.setattr(doctor_gpu, "refuse_what_cannot_be", lambda name, device: None)
    return settings


# ----------------------------------------------------------------------------------------------
# The block


@pytest.fixture
def block(monkeypatch, capsys):
    """The status and the lines of a block that consists of these checks, by name."""

    def printed(checks):
        monkeypatch.setattr(doctor_gpu, "_checks", lambda sizes: iter(checks.items()))
        monkeypatch.setattr(doctor_gpu, "_header", lambda device: ["the card"])
        monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
        monkeypatch.setenv(
            "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
        )  # the command sets it for its process
        return doctor_gpu.examine(CPU), capsys.readouterr().out.splitlines()

    return printed


def raises(error):
    def check(device, sizes):
        raise error

    return check


def test_a_check_that_fails_or_raises_is_a_line_and_the_block_goes_on(block):
    checks = {
        "wrong": lambda device, sizes: (FAIL, "by far"),
        "broken": raises(RuntimeError("CUDA error: an illegal\nmemory access")),
        "missing": raises(UserError("this GPU has no bfloat16")),
        "last": lambda device, sizes: (PASS, "fine"),
    }
    status, lines = block(checks)
    assert status == 1
    start, card, wrong, broken, missing, last, end = lines
    assert (start, card, end) == ("```", "the card", "```")
    assert wrong == "fail          wrong: by far"
    assert broken.startswith(
        "fail          broken: raised RuntimeError: CUDA error: an illegal memory"
    )
    assert missing == "not measured  missing: this GPU has no bfloat16"
    assert last == "pass          last: fine"


def test_the_status_is_0_if_no_check_failed(block):
    verdicts = {name: lambda device, sizes, name=name: (name, "") for name in (PASS, SEEN)}
    assert block(verdicts | {NOT_MEASURED: raises(UserError("x"))})[0] == 0


def test_a_mistake_of_the_program_is_no_finding_about_the_gpu(block):
    with pytest.raises(TypeError):
        block({"mistake": raises(TypeError("x"))})


def test_the_command_ends_with_the_status_of_the_checks(monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "default_device", lambda: "cuda")
    monkeypatch.setattr(doctor_gpu, "examine", lambda device: seen.append(device) or 1)
    assert run.main(["doctor", "--gpu"]) == 1
    assert seen == [torch.device("cuda")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--gpu --device cpu", "--gpu: needs a GPU, and PyTorch finds none here"),
        ("--device cpu", "--device: only with --gpu"),
        ("--gpu --weights-dir x", "--weights-dir: not with --gpu"),
    ],
)
def test_what_the_checks_do_not_take_is_refused(words, said):
    with pytest.raises(UserError, match=said):
        run.main(["doctor", *words.split()])


# ----------------------------------------------------------------------------------------------
# The CPU in the GPU's place


def test_the_cpu_is_close_to_itself(sizes):
    verdict, figure = doctor_gpu._close_to_cpu(FLOAT32, CPU, sizes)
    assert verdict == PASS and "images by 0 grey levels (tolerated: 0.04)" in figure


@pytest.mark.parametrize(("name", "verdict"), [("float32", FAIL), ("tf32", PASS)])
def test_a_grey_level_is_too_much_in_float32(name, verdict, sizes, monkeypatch):
    images = doctor_gpu._data(CPU, sizes).batch(torch.arange(3))
    monkeypatch.setattr(doctor_gpu, "_coded_by_cpu", lambda sizes: {"images": images})
    brighter = {"images": images + GREY_LEVEL}
    monkeypatch.setattr(doctor_gpu, "_coded", lambda device, sizes, name: brighter)
    found = doctor_gpu._close_to_cpu(name, CPU, sizes)
    assert found[0] == verdict and "images by 1 grey levels" in found[1]


@pytest.mark.parametrize(
    ("name", "factor", "verdict"),
    [
        (FLOAT32, 1.0, PASS),
        (FLOAT32, 1.03, FAIL),
        (BFLOAT16, 1.03, PASS),
        (BFLOAT16, 0.8, FAIL),
        (BFLOAT16, math.inf, FAIL),
        (BFLOAT16, math.nan, FAIL),
    ],
)
@pytest.mark.parametrize("what", ["loss", "norm"])
def test_a_step_is_held_to_that_of_the_cpu(what, name, factor, verdict, sizes, timed, monkeypatch):
    one = dict.fromkeys(("loss", "norm"), torch.tensor(2.0))
    trained = {FLOAT32: one, name: one | {what: factor * one[what]}}
    monkeypatch.setattr(doctor_gpu, "_step_by_cpu", lambda sizes: one)
    monkeypatch.setattr(doctor_gpu, "_trained", lambda device, sizes, steps, name: trained[name])
    found = doctor_gpu._step_like_cpu(name, CPU, sizes)
    assert found[0] == verdict and f"{what} {2 * factor:.6g} (CPU: 2)" in found[1]


def test_a_step_moves_the_weights_and_repeats_on_a_cpu(sizes):
    verdict, figure = doctor_gpu._repeats(doctor_gpu._trained, True, False, CPU, sizes)
    assert (verdict, figure) == (PASS, "loss equal, norm equal, weights equal")
    one, two = (doctor_gpu._trained(CPU, sizes, steps)["weights"] for steps in (1, 2))
    assert not torch.equal(one, two)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, PASS), (1 + 1e-8, FAIL), (math.nan, FAIL)])
def test_a_distance_is_held_to_that_of_the_cpu(factor, verdict, sizes, monkeypatch):
    distances = iter([3.0, 3.0 * factor])
    monkeypatch.setattr(doctor_gpu, "frechet_distance", lambda a, b: next(distances))
    assert doctor_gpu._same_distance(CPU, replace(sizes, features=4))[0] == verdict


def test_the_distance_is_that_of_the_two_sets(sizes):
    a, b = np.random.default_rng(0).standard_normal((2, 8, 4))
    exact = calculate_frechet_distance(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))
    verdict, figure = doctor_gpu._same_distance(CPU, replace(sizes, features=4))
    assert verdict == PASS and float(figure.split()[0]) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("promised", "verdict"), [(True, FAIL), (False, SEEN)])
@pytest.mark.parametrize("deterministic", [True, False])
def test_work_that_does_not_repeat_is_a_failure_where_it_must(
    promised, verdict, deterministic, sizes
):
    told = []

    def work(device, sizes):
        told.append(torch.are_deterministic_algorithms_enabled())
        return {"a": torch.tensor([1.0, 1.0 + len(told) / 4]), "b": torch.ones(2)}

    found = doctor_gpu._repeats(work, promised, deterministic, CPU, sizes)
    assert found == (verdict, "a apart by 0.2, b equal")
    assert told == [deterministic] * 2 and not torch.are_deterministic_algorithms_enabled()


# ----------------------------------------------------------------------------------------------
# Memory


@pytest.fixture
def memory(monkeypatch):
    """A GPU of 1,000 MiB, of which a batch takes 100; the shares that the process was allowed."""
    shares = []
    there = SimpleNamespace(total_memory=1000 * 2**20)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: there)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share)
    )
    monkeypatch.setattr(doctor_gpu, "peak_memory", lambda work, device: 100)
    return shares


def decoding_at_most(room, monkeypatch, memory, error):
    decode = DiffAESystem.decode

    def decoded(self, code, steps):
        if memory and memory[-1] < 1 and len(code.x_T) > room:
            raise error
        return decode(self, code, steps)

    monkeypatch.setattr(DiffAESystem, "decode", decoded)


def test_a_batch_that_is_refused_memory_is_halved_and_memory_given_back(sizes, memory, monkeypatch):
    decoding_at_most(4, monkeypatch, memory, torch.OutOfMemoryError("CUDA out of memory."))
    verdict, figure = doctor_gpu._recovers(CPU, sizes)
    assert verdict == PASS and figure.startswith("8 images in parts of 4: samples by ")
    assert memory == [pytest.approx(0.07), 1.0]


def test_a_batch_that_fits_is_no_proof(sizes, memory):
    verdict, figure = doctor_gpu._recovers(CPU, sizes)
    assert (verdict, figure) == (FAIL, "8 images at once fit into 70 MiB")


def test_memory_is_given_back_after_another_error(sizes, memory, monkeypatch):
    decoding_at_most(4, monkeypatch, memory, RuntimeError("CUDA error: unspecified launch failure"))
    assert doctor_gpu._found(doctor_gpu._recovers, CPU, sizes)[0] == FAIL
    assert memory[-1] == 1.0


# ----------------------------------------------------------------------------------------------
# Throughput


@pytest.mark.parametrize("what", [doctor_gpu.ENCODE, doctor_gpu.DECODE_STEP])
def test_operations_are_those_of_the_images(what, sizes, timed):
    verdict, figure = doctor_gpu._throughput(what, FLOAT32, False, CPU, sizes)
    model = DiffusionAutoencoder(MODEL)
    x, z = torch.zeros(1, 3, 16, 16), torch.zeros(1, MODEL.z_channels)
    work = {
        doctor_gpu.ENCODE: lambda: model.encoder(x),
        doctor_gpu.DECODE_STEP: lambda: model.unet(x, torch.zeros(1).long(), z),
    }
    each = flops(work[what]) / 1e12
    tera = [cli.plain(rate * each, 2) for rate in (4, 8)]
    assert verdict == SEEN
    assert figure == (f"2: 4.00 images/s, {tera[0]} TFLOP/s; 4: 8.00 images/s, {tera[1]} TFLOP/s")


@pytest.mark.parametrize(
    ("what", "name", "setting"),
    [
        (doctor_gpu.ENCODE, FLOAT32, (False, False)),
        (doctor_gpu.ENCODE, BFLOAT16, (False, True)),
        (doctor_gpu.TRAINING_STEP, FLOAT32, (True, False)),
        (doctor_gpu.TRAINING_STEP, BFLOAT16, (True, False)),
    ],
)
def test_only_a_training_records_gradients_and_it_has_its_own_bfloat16(
    what, name, setting, sizes, timed, monkeypatch
):
    precisions = []
    training = doctor_gpu.Training
    monkeypatch.setattr(
        doctor_gpu, "Training", lambda *args: precisions.append(args[3]) or training(*args)
    )
    doctor_gpu._throughput(what, name, False, CPU, sizes)
    assert timed == [setting] * 2
    assert precisions == [name] * 2 * (what == doctor_gpu.TRAINING_STEP)


def test_larger_batches_are_not_timed_once_memory_is_refused_or_a_call_takes_long(
    sizes, timed, monkeypatch
):
    sizes = replace(sizes, batches=(2, 4, 8))
    work = doctor_gpu._work

    def refusing(what, name, batch, device, sizes):
        if batch > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return work(what, name, batch, device, sizes)

    with monkeypatch.context() as patch:
        patch.setattr(doctor_gpu, "_work", refusing)
        _, figure = doctor_gpu._throughput(doctor_gpu.ENCODE, FLOAT32, False, CPU, sizes)
    assert figure.startswith("2: 4.00 images/s") and figure.endswith("; 4: memory refused")
    monkeypatch.setattr(doctor_gpu, "median_seconds", lambda work, repeats, device: 4.0)
    _, figure = doctor_gpu._throughput(doctor_gpu.ENCODE, FLOAT32, False, CPU, sizes)
    assert figure.startswith("2: 0.500 images/s") and figure.endswith(
        "; no more, as that took 4.0 s"
    )
    assert "4:" not in figure
