"""A step in parts and by several processes: the result is the same."""

import io
import json
import math
import multiprocessing
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
import train_tiny
from tiny_preset import SCHEDULE, TINY, pictures
from tiny_training import same, trained, weights, write_pictures

from benchmarks.runtime import provenance
from diffae.data import open_dataset
from diffae.diffusion.noise import ExampleNoise, generator, normals
from diffae.model import DiffusionAutoencoder
from diffae.networks.nn import Dropout
from diffae.system import distributed
from diffae.system.errors import UserError
from diffae.train import stages
from diffae.train.images import Images, OnDisk
from diffae.train.sharing import Sharing, gathered
from diffae.train.stages import image_loss, train
from diffae.train.step import Training, batch_indices
from diffae.train.trainer import TrainingRun
from diffae.train.types import Steps

ROOT = Path(__file__).parents[2]


def gradients(steps: Steps, threads: bool = False) -> list[torch.Tensor]:
    """Adam's first moments after two steps of the tiny autoencoder, which has dropout, its images
    mirrored at random.

    They are a tenth of the gradients. The weights themselves would say less: Adam makes a step of
    what is rounding.
    """
    torch.manual_seed(0)
    model = DiffusionAutoencoder(TINY.model)
    networks = torch.nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
    with torch.no_grad():
        for p in networks.parameters():
            p.add_(0.1 * torch.randn_like(p))
    data = Images(pictures(40), True, "cpu")
    schedule = replace(SCHEDULE, batch_size=8, learning_rate=1e-6)
    training = Training(networks, schedule, 7, steps=steps)
    if threads:  # as on a GPU
        training._pool = ThreadPoolExecutor(2)
    for step in range(2):
        training.advance(image_loss(model, data), batch_indices(40, 8, 7, step))
    return [training.optimiser.state[p]["exp_avg"] for p in training.parameters]


@pytest.mark.parametrize("steps", [*map(Steps, (1, 3, 8, 100)), Steps(recompute=True)], ids=str)
def test_a_batch_in_parts_and_with_activations_computed_again_is_the_batch(steps):
    whole = gradients(Steps(by_example=True))
    found = gradients(replace(steps, by_example=True))
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=2e-6)


def test_noise_belongs_to_an_example():
    both = ExampleNoise(3, "training", [5, 9])
    alone = ExampleNoise(3, "training", [9])
    assert torch.equal(normals(both, (2, 3, 4))[1:], normals(alone, (1, 3, 4)))
    assert both.integers(1000, size=2)[1] == alone.integers(1000, size=1)[0]
    same = generator(3, "training", 9)
    assert torch.equal(normals(ExampleNoise(3, "training", [9]), (1, 6))[0], normals(same, (6,)))
    with pytest.raises(ValueError, match="noise for 3 examples, but there are 2"):
        normals(both, (3, 4))


def test_a_training_with_noise_drawn_by_threads_is_the_same():
    whole = gradients(Steps(2, by_example=True))
    assert all(map(torch.equal, whole, gradients(Steps(2, by_example=True), threads=True)))


def test_a_mask_of_dropout_belongs_to_an_example():
    dropout = Dropout(0.3)
    x = torch.ones(3, 50, 20, 20)
    dropout.keys = [11, 22, 33]
    masks = dropout(x)
    dropout.keys = [22]
    assert torch.equal(dropout(x[:1])[0], masks[1]) and not torch.equal(masks[0], masks[1])
    kept = masks != 0
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.01)
    torch.testing.assert_close(masks[kept], torch.full_like(masks[kept], 1 / 0.7))
    assert torch.equal(dropout.eval()(x), x)


def test_a_loss_of_whole_batches_is_not_cut():
    network = torch.torch.nn.Linear(1, 1)
    with pytest.raises(UserError, match="needs one process, without --micro-batch"):
        Training(network, SCHEDULE, 0, steps=Steps(2))


# ----------------------------------------------------------------------------------------------
# Images that are read ahead


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of twenty images."""
    return write_pictures(tmp_path_factory.mktemp("images") / "noise", pictures(20))


def on_disk(folder):
    data = open_dataset(folder, 8)
    return OnDisk(data, data.indices("all"))


def test_workers_read_what_is_asked_for(folder):
    orders = [batch_indices(20, 6, 0, step) for step in range(5)]
    direct, ahead = Images(on_disk(folder), False, "cpu"), Images(on_disk(folder), False, "cpu", 2)
    with ahead.ahead(iter(orders)):
        for indices in orders:
            assert torch.equal(ahead.batch(indices), direct.batch(indices))
    assert torch.equal(ahead.batch(orders[0]), direct.batch(orders[0]))


def test_a_damaged_image_is_named_by_a_worker_as_it_is_without(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    images = Images(on_disk(tmp_path), False, "cpu", 1)
    (tmp_path / "07.png").write_bytes(b"no image")
    orders = [torch.tensor([i]) for i in range(20)]
    with pytest.raises(UserError, match=r"07\.png") as found, images.ahead(iter(orders)):
        for indices in orders:
            images.batch(indices)
    assert "\n" not in str(found.value)


def test_a_training_reads_from_disk_as_from_memory(folder, tmp_path):
    for name, images in (("disk", on_disk(folder)), ("memory", pictures(20))):
        (tmp_path / name).mkdir()
        train(TINY, images, tmp_path / name, TrainingRun(3, "me", workers=2), "cpu")
    assert same(weights(tmp_path / "disk"), weights(tmp_path / "memory"))


# ----------------------------------------------------------------------------------------------
# Processes


def launched(folder, out, processes: int) -> subprocess.Popen:
    """The tiny preset under torchrun, on gloo."""
    program = [sys.executable, str(ROOT / "tests/helpers/train_tiny.py"), str(folder), str(out)]
    if processes > 1:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        program = [*torchrun, f"--nproc-per-node={processes}", *program[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(program, env=environment, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen) -> str:
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


def told(out: Path, errors: str) -> tuple[list[str], list[float], list[int]]:
    """What a training says of every step, the stage and its images, and the loss; and of each
    stage's images in the end.
    """
    lines = re.findall(r"(.*: [\d,]+ of [\d,]+ images), loss ([\d.]+), skipped 0", errors)
    stages = json.loads((out / "training.json").read_text())["stages"]
    seen = [stage["examples"] for stage in stages.values()]
    return [where for where, _ in lines], [float(loss) for _, loss in lines], seen


def said(folder: Path, out: Path, processes: int, *flags: str) -> str:
    """What a training says in this many processes, forked from this one."""

    def work() -> str:
        text = io.StringIO()
        with redirect_stdout(text), redirect_stderr(text), pytest.raises(SystemExit) as ended:
            train_tiny.main([str(folder), str(out), *flags])
        assert not ended.value.code, text.getvalue()
        return text.getvalue()

    return together(work, out.parent, processes)[0]


@pytest.fixture(scope="module")
def alone(folder, tmp_path_factory):
    """The weights of a training in one process, what it said, and its folder."""
    out = tmp_path_factory.mktemp("one") / "out"
    errors = said(folder, out, 1)
    return weights(out), told(out, errors), out


@pytest.fixture
def one(alone):
    return alone[0]


def test_two_processes_train_the_model_of_one_and_tell_its_losses(folder, alone, tmp_path):
    one, (steps, losses, seen), _ = alone
    found = told(tmp_path / "out", said(folder, tmp_path / "out", 2))
    torch.testing.assert_close(weights(tmp_path / "out"), one, rtol=2e-3, atol=2e-5)
    assert found[0] == steps and len(steps) == 12
    assert found[1] == pytest.approx(losses, rel=2e-3)
    assert found[2] == seen == [24, 24]


def test_two_processes_train_a_latent_ddim_on_an_autoencoder_that_is_kept(folder, alone, tmp_path):
    """They exchange codes before they train anything."""
    one, _, start = alone
    said(folder, tmp_path / "out", 2, "--stages", "latent", "--init", str(start))
    torch.testing.assert_close(weights(tmp_path / "out"), one, rtol=2e-3, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(2, 2), (2, 1), (1, 2)])
def test_a_killed_run_goes_on_in_another_number_of_processes(folder, one, tmp_path, first, then):
    out = tmp_path / "out"
    process = launched(folder, out, first)
    state = out / "training-image.safetensors"
    while not state.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=600)
    ended(launched(folder, out, then))
    torch.testing.assert_close(weights(out), one, rtol=2e-3, atol=2e-5)


def together(work, tmp_path, world: int = 2) -> list:
    """What `work()` returns in each of several processes on gloo, forked from this one."""
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    launcher = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}
    launcher |= {"WORLD_SIZE": str(world), "TORCHELASTIC_USE_AGENT_STORE": "True"}

    def process(rank: int) -> None:
        os.environ.update(launcher | {"RANK": str(rank)})
        distributed.init()
        found = work()
        (tmp_path / f"rank-{rank}").write_bytes(pickle.dumps(found))

    import_module("torch._dynamo")  # which DistributedDataParallel imports: once, not in each
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=process, args=(rank,)) for rank in range(world)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(60)
        assert one.exitcode == 0
    return [pickle.loads((tmp_path / f"rank-{rank}").read_bytes()) for rank in range(world)]


def test_processes_tell_the_same_of_what_each_has_a_part_of(tmp_path):
    def work():
        rank, sharing = distributed.rank(), Sharing(torch.nn.Linear(1, 1), 4)
        return (
            sharing.mean(torch.tensor(3.0 + 2 * rank)),
            [sharing.any(here) for here in (rank == 0, rank == 1, False)],
            gathered(torch.arange(rank, 5, 2)[:, None], 5).flatten().tolist(),
            provenance.describe({}, torch.device("cpu"), 1)["processes"],
        )

    told = (4.0, [True, True, False], [0, 1, 2, 3, 4], 2)
    assert together(work, tmp_path) == [told, told]


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_step_that_is_not_finite_in_one_process_is_skipped_in_all_and_counted_once(
    tmp_path, precision
):
    """The second of four steps, in the second process alone. What is told is of the whole batch."""

    def work():
        torch.manual_seed(0)
        network, calls = torch.nn.Linear(3, 1), []
        steps = Steps(by_example=True)
        training = Training(network, SCHEDULE, 0, precision, steps=steps)
        enabled = precision == "float16"
        training.scaler = torch.amp.GradScaler("cpu", init_scale=16.0, enabled=enabled)

        def loss(indices, noise):
            calls.append(indices.tolist())
            bad = math.nan if len(calls) == 2 and distributed.rank() == 1 else 1.0
            return bad * network(indices[:, None] / torch.arange(1.0, 4)).square().mean()

        losses = [training.advance(loss, torch.arange(4) + 1) for _ in range(4)]
        return losses, training.norm, training.skipped, training.seen, calls, network.weight.data

    first, second = together(work, tmp_path)
    assert first[4] == 4 * [[1, 2]] and second[4] == 4 * [[3, 4]]
    assert torch.equal(first[5], second[5]) and first[1:4] == second[1:4]
    assert first[2:4] == (1, 16)
    assert [math.isnan(loss) for loss in first[0]] == [False, True, False, False]

    torch.manual_seed(0)
    network = torch.nn.Linear(3, 1)
    x = (torch.arange(4) + 1)[:, None] / torch.arange(1.0, 4)
    whole = network(x).square().mean().item()
    assert first[0][0] == pytest.approx(whole, rel=1e-2 if precision == "float16" else 1e-6)


def test_a_batch_that_cannot_be_shared_equally_is_refused(monkeypatch):
    monkeypatch.setattr(distributed, "world", lambda: 3)
    with pytest.raises(UserError, match="batches of 4 cannot be shared by 3"):
        Sharing(torch.nn.Linear(1, 1), 4)


@pytest.mark.parametrize("part", [1, 2, 3, None])
def test_the_parts_of_all_processes_are_the_batch_once(monkeypatch, part):
    monkeypatch.setattr("diffae.train.sharing.DistributedDataParallel", lambda step, **_: step)
    monkeypatch.setattr(distributed, "process_group", lambda device: None)
    monkeypatch.setattr(distributed, "world", lambda: 3)
    seen, weights = [], 0.0
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda r=rank: r)
        sharing = Sharing(torch.nn.Linear(1, 1), 15, part)
        parts = list(sharing.parts())
        seen += [position for p in parts for position in range(p.start, p.stop)]
        weights += sum(map(sharing.weight, parts))
        assert max(p.stop - p.start for p in parts) == (part or 5)
    assert seen == list(range(15)) and weights == pytest.approx(3)


# ----------------------------------------------------------------------------------------------
# States and codes


def test_a_training_that_goes_on_does_not_encode_again(tmp_path, monkeypatch):
    first = weights(trained(tmp_path))
    before = (tmp_path / "training-image.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(stages, "encode_all", None)
    assert same(weights(trained(tmp_path)), first)
    assert (tmp_path / "training-image.safetensors").stat().st_mtime_ns == before


def test_codes_of_another_training_or_damaged_are_made_anew(tmp_path):
    path = trained(tmp_path) / stages.CODES
    whole = path.read_bytes()
    for content in (whole[:-5], b"", whole.replace(b'"me"', b'"yo"')):
        path.write_bytes(content)
        trained(tmp_path)
        assert path.read_bytes() == whole
