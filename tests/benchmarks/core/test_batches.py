"""Batches: their sizes, splitting and joining, and halving when memory runs out."""

import json
from itertools import chain

import numpy as np
import pytest
import torch
from dummies import Perfect
from memory_errors import MEMORY_ERRORS
from PIL import Image

from benchmarks import evaluate, systems
from benchmarks.core.job import Job
from benchmarks.core.store import CHUNK, Store
from benchmarks.runtime.calling import PREFIX, Batches
from benchmarks.runtime.errors import SystemFailed
from benchmarks.systems.protocol import checked
from benchmarks.systems.protocol.base import DECODE, ENCODE, Code
from benchmarks.systems.protocol.checked import divided
from benchmarks.systems.protocol.parts import tensors
from reports.records.record import read_records

pytestmark = pytest.mark.usefixtures("no_effnet")
CPU = torch.device("cpu")


# ----------------------------------------------------------------------------------------------
# How many at once


class Device:
    """Memory for so many images."""

    def __init__(self, room):
        self.room, self.tried = room, []

    def __call__(self, place):
        self.tried.append(place.stop - place.start)
        if self.tried[-1] > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return list(range(place.start, place.stop))


@pytest.mark.parametrize(
    ("size", "tried"), [(None, [10]), (10, [10]), (64, [10]), (4, [4, 4, 2]), (1, [1] * 10)]
)
def test_no_more_at_once_than_asked_for(size, tried):
    device = Device(100)
    assert list(chain(*Batches(size).each("decode", 10, device))) == list(range(10))
    assert device.tried == tried


def test_none_at_all_is_one_empty_batch():
    assert Batches(4).each("decode", 0, lambda place: (place.start, place.stop)) == [(0, 0)]


def test_what_does_not_fit_is_halved_and_remembered_by_method():
    device, batches = Device(3), Batches.from_option("auto", CPU, 32)
    assert list(chain(*batches.each("decode", 16, device))) == list(range(16))
    assert device.tried == [16, 8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    device.tried.clear()
    batches.each("decode", 5, device)
    assert device.tried == [2, 2, 1]
    roomy = Device(100)
    batches.each("encode", 16, roomy)
    assert roomy.tried == [16]


@pytest.mark.parametrize("error", MEMORY_ERRORS)
def test_whatever_says_that_memory_ran_out_is_halved(error):
    def call(place):
        if place.stop - place.start > 2:
            raise SystemFailed("decode") from error
        return list(range(place.start, place.stop))

    batches = Batches.from_option("auto", CPU, 32)
    assert list(chain(*batches.each("decode", 8, call))) == list(range(8))
    assert batches.fitting == {"decode": 2}


def test_batches_that_are_done_are_not_done_again():
    done = []

    def call(place):
        if place.stop - place.start > 4 and place.start:  # somebody else took the memory
            raise torch.OutOfMemoryError
        done.extend(range(place.start, place.stop))

    Batches(8, shrinks=True).each("decode", 24, call)
    assert done == list(range(24))


@pytest.mark.parametrize(
    ("batches", "error"),
    [
        (
            Batches.from_option(8, CPU, 32),
            torch.OutOfMemoryError(),
        ),  # a number is what was asked for
        (Batches.from_option("auto", CPU, 32), RuntimeError("no kernel")),
    ],
)
def test_another_error_or_a_number_that_was_given_is_not_halved(batches, error):
    tried = []

    def fails(place):
        tried.append(place)
        raise error

    with pytest.raises(type(error)):
        batches.each("decode", 16, fails)
    assert len(tried) == 1


def test_one_image_that_does_not_fit_fails():
    with pytest.raises(torch.OutOfMemoryError):
        Batches.from_option("auto", CPU, 32).each("decode", 4, Device(0))


@pytest.mark.parametrize(("side", "images"), [(32, 64), (64, 16), (256, 1), (512, 1)])
def test_a_batch_on_a_cpu_has_so_many_pixels(side, images):
    """Unless a number is given. A GPU gets the whole chunk."""
    assert Batches.from_option(None, CPU, side) == Batches(images=images)
    assert Batches.from_option(40, CPU, side) == Batches(40)
    assert Batches.from_option(None, torch.device("cuda"), side) == Batches()


# ----------------------------------------------------------------------------------------------
# The calls of a system


class Counting(Perfect):
    """Knows how many images it is given, and how many of them fit."""

    room = 1000
    capabilities = Perfect.capabilities | {"sample", "sample_latents", "predict_x0"}

    def __init__(self, path, device):
        super().__init__(path, device)
        self.tried = []

    def _take(self, value):
        self.tried.append(len(value))
        if len(value) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return value

    def encode_semantic(self, images):
        return super().encode_semantic(self._take(images))

    def decode(self, code, steps=100):
        self._take(code.semantic)
        return super().decode(code, steps)

    def sample_latents(self, indices, seed, steps):
        self._take(indices)
        return torch.tensor(indices)[:, None].expand(-1, self.latent_dim) / 100 + seed

    def sample(self, indices, seed, steps):
        return self.decode(Code(self.sample_latents(indices, seed, steps)), steps)

    def predict_x0(self, images_noised, t, semantic):
        return self._take(images_noised) * t / 1000 + semantic[:, :1, None, None]


def counting(batches):
    system = checked.build("counting", Counting, None, CPU)
    system.batches = batches
    return system


def every_verb(system):
    images = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    code = system.encode(images, 7)
    semantic = system.encode_semantic(images)
    return {
        "encode": code.semantic,
        "encode_semantic": semantic,
        "decode": system.decode(code, steps=7),
        "sample_latents": system.sample_latents(range(3, 13), 0, 7),
        "sample": system.sample(list(range(10)), 0, 7),
        "sample, an array of indices": system.sample(np.arange(10), 0, 7),
        "predict_x0": system.predict_x0(images, 300, semantic),
    }


@pytest.mark.parametrize("size", [1, 3, 10, 64])
def test_every_verb_in_batches_is_the_verb(size):
    plain, cut = counting(Batches()), counting(Batches(size))
    expected = every_verb(plain)
    for verb, found in every_verb(cut).items():
        assert torch.equal(found, expected[verb]), verb
    assert max(cut.inner.tried) == min(size, 10) and max(plain.inner.tried) == 10


@pytest.mark.parametrize("name", [name for name in systems.REGISTRY.names() if "dummy" in name])
def test_codes_of_every_shape_are_cut_and_put_together(name):
    system = systems.load(name)
    images = torch.rand(7, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = []
    for size in (None, 3):
        system.batches = Batches(size)
        code = Code(system.encode_semantic(images))
        if ENCODE in system.capabilities:
            code = system.encode(images)
        decoded = system.decode(code) if DECODE in system.capabilities else images
        found.append([*tensors(code.semantic), decoded])
    for whole, cut in zip(*found, strict=True):
        assert torch.equal(whole, cut) and len(cut) == 7


def test_overshoot_is_counted_once_however_it_is_cut():
    class Wild(Counting):
        def decode(self, code, steps=100):
            return super().decode(code, steps) * 1.5

    found = []
    for size in (None, 3):
        system = checked.build("wild", Wild, None, CPU)
        system.batches = Batches(size)
        every_verb(system)
        found.append({name: pair.tolist() for name, pair in system.outside.take().items()})
    assert found[0] == found[1] and found[0][PREFIX + "decode"][0] > 0


def test_a_system_that_runs_out_of_memory_says_what_may_help():
    system = counting(Batches(8))
    system.inner.room = 4
    with pytest.raises(SystemFailed, match="OutOfMemoryError.*; a smaller --batch-size may help"):
        every_verb(system)
    system.batches = Batches.from_option("auto", CPU, 32)
    every_verb(system)
    assert system.batches.fitting == dict.fromkeys(
        ("encode", "encode_semantic", "decode", "sample_latents", "sample", "predict_x0"), 2
    )


def test_what_is_timed_is_not_cut():
    system = counting(Batches(3))
    with divided(system, Batches()):
        every_verb(system)
    assert set(system.inner.tried) == {10}
    every_verb(system)
    assert set(system.inner.tried[-2:]) == {3, 1}
    with divided(system.inner, Batches()):  # which is never cut
        assert not hasattr(system.inner, "batches")


# ----------------------------------------------------------------------------------------------
# Chunks that are computed together


def scores(log):
    """A row a position, a preview of the first five, and counts of overshoot: seven of ten a position."""

    def compute(positions):
        log.append((int(positions[0]), int(positions[-1]) + 1))
        preview = positions[: 5 if positions[0] == 0 else 0]
        counts = {PREFIX + "decode": np.array([7 * len(positions), 10 * len(positions)])}
        return {"score": positions * 0.5, "map": np.ones((len(positions), 2, 2))} | {
            "preview": np.stack([preview, preview], 1)
        } | counts  # fmt: skip

    return compute


def scored(count, log):
    return Job("test", "", {}, count, scores(log))


def test_counts_of_clamped_values_are_summed_over_chunks(tmp_path):
    counts = Store(tmp_path).read(scored(2 * CHUNK + 3, []))[PREFIX + "decode"]
    assert counts.tolist() == [7 * (2 * CHUNK + 3), 10 * (2 * CHUNK + 3)]


def files(root):
    return {
        path.name: {name: array.tolist() for name, array in np.load(path).items()}
        for path in root.rglob("*.npz")
    }


@pytest.mark.parametrize("together", [2, 3, 100])
def test_chunks_that_are_computed_together_are_filed_as_if_alone(together, tmp_path):
    count, logs = 4 * CHUNK + 5, ([], [])
    for size, log in zip((1, together), logs, strict=True):
        store = Store(tmp_path / str(size))
        store.together = size
        list(store.chunks(scored(count, log)))
    assert files(tmp_path / str(together)) == files(tmp_path / "1")
    assert len(logs[0]) == 5 and len(logs[1]) == -(-5 // together)


def test_only_what_is_missing_is_computed_in_runs_of_neighbours(tmp_path):
    log = []
    store = Store(tmp_path)
    store.together = 4
    list(store.chunks(scored(5 * CHUNK, log)))
    for name in (0, 1, 3):
        (path,) = tmp_path.rglob(f"{name * CHUNK:08d}-*.npz")
        path.unlink()
    log.clear()
    found = store.read(scored(5 * CHUNK, log))["score"]
    assert log == [(0, 2 * CHUNK), (3 * CHUNK, 4 * CHUNK)]
    assert np.array_equal(found, np.arange(5 * CHUNK) * 0.5)


def test_the_rows_of_another_job_are_its_chunks_joined(tmp_path):
    """Chunks that are computed together, and one that is stored already."""
    log, given = [], []
    store = Store(tmp_path)
    store.together = 2
    list(store.chunks(scored(CHUNK, log)))

    def compute(positions, arrays):
        given.append((len(positions), sorted(arrays), len(arrays["preview"])))
        return {"twice": 2 * arrays["score"]}

    taking = Job("twice", "", {}, 4 * CHUNK + 5, compute, rows_of=[scored(4 * CHUNK + 5, log)])
    assert np.array_equal(store.read(taking)["twice"], np.arange(4.0 * CHUNK + 5))
    assert log == [
        (0, CHUNK),
        (CHUNK, 2 * CHUNK),
        (2 * CHUNK, 4 * CHUNK),
        (4 * CHUNK, 4 * CHUNK + 5),
    ]
    names = ["map", "preview", "score"]
    assert given == [(2 * CHUNK, names, 5), (2 * CHUNK, names, 0), (5, names, 0)]


@pytest.mark.parametrize("wrong", [np.zeros(()), np.zeros(2 * CHUNK + 1), np.zeros(5)])
def test_what_is_not_a_row_a_position_is_refused(wrong, tmp_path):
    """Such as a sum over the positions. Of the first ones there may be a preview, and of no others."""
    store = Store(tmp_path)
    store.together = 2
    with pytest.raises(ValueError, match="give each a row"):
        list(store.chunks(Job("test", "", {}, 4 * CHUNK, lambda positions: {"x": wrong})))


# ----------------------------------------------------------------------------------------------
# A run


class Small(Perfect):
    """It decodes no more than nine images at once."""

    name = title = "small"
    image_size = 32

    def decode(self, code, steps=100):
        if len(code.semantic) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().decode(code, steps)


def test_auto_goes_on_with_half_as_many(patches, tmp_path):
    def measure(out, batch_size):
        given = (Small(None, CPU), "reconstruction", patches, "smoke", tmp_path / out)
        evaluate(*given, batch_size=batch_size, cache=False)
        return (tmp_path / out / "records.csv").read_bytes()

    records = measure("auto", "auto")
    about = json.loads((tmp_path / "auto" / "run.json").read_text())
    assert about["batch_size"] == "auto"
    assert "batch_size" not in json.dumps([about["settings"], about["protocols"]])
    assert measure("auto", 5) == records  # the same run: it is in no key
    assert measure("five", 5) == records
    (ssim,) = [r for r in read_records(tmp_path / "five" / "records.csv") if r.metric == "ssim"]
    assert ssim.value == pytest.approx(1)


class Large(Perfect):
    """Images of 64 px; it knows how many it is given, and with `of_batch` returns what depends on these."""

    name = title = "large"
    image_size, latent_dim, of_batch = 64, 3 * 64**2, 0.0

    def __init__(self, path, device):
        super().__init__(path, device)
        self.tried = []

    def encode_semantic(self, images):
        self.tried.append(len(images))
        return images.flatten(1) * (1 - self.of_batch * (len(images) > 1))

    def decode(self, code, steps=100):
        return code.semantic.reshape(-1, 3, 64, 64)


def test_images_of_64_px_are_computed_by_sixteen_on_a_cpu(tmp_path):
    """The first few are tried all at once, so that it is seen whether a system depends on the batch."""
    for number, pixels in enumerate(
        np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    ):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    settings = {"reconstruction.images": 20, "reconstruction.split": "all"}
    given = {
        "data": tmp_path,
        "profile": "smoke",
        "settings": settings,
        "stand_ins": True,
        "cache": False,
    }
    system = Large(None, CPU)
    evaluate(system, "reconstruction", **given)
    assert system.tried[-2:] == [16, 4] and max(system.tried[:-2]) == 4
    evaluate(system, "reconstruction", **given, batch_size=20)
    assert system.tried[-1] == 20
    system.of_batch = 0.5
    rows = evaluate(system, "reconstruction", **given).rows
    assert any("depends on its batch" in row.note for row in rows)
