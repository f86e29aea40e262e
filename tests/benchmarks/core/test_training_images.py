"""Numbers of a model on its training images are marked, in whatever form it saw them."""

import json
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data_files import encode, write_files, write_tar
from lone_context import lone_context
from PIL import Image

from benchmarks import evaluate
from benchmarks.core.benchmark import Benchmark
from benchmarks.core.measurement import Measurement, Place
from benchmarks.core.runner.evaluation import rows
from benchmarks.systems.protocol.base import System
from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import open_dataset
from diffae.data.portraits import write_dataset
from diffae.data.prepare import prepare
from reports.records.estimate import Estimate
from reports.records.record import read_records, write_records
from reports.tables.build import build_tables
from reports.tables.markdown import render

SAID_OF = "evaluated on images that this checkpoint was trained on"
SAID = f"{SAID_OF} (all of photographs)"


def photograph(index: int, side: int = 48) -> bytes:
    pixels = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return encode(Image.fromarray(pixels))


def folder(root: Path, first: int = 0) -> Path:
    images = range(first, first + 10)
    return write_files(root, ((f"{index}.png", photograph(index)) for index in images))


def webdataset(root: Path) -> Path:
    images = ((f"{index}.png", photograph(index)) for index in range(10))
    return write_tar(root / "000.tar", images).parent


def parquet(root: Path) -> Path:
    root.mkdir()
    column = [{"bytes": photograph(index), "path": None} for index in range(10)]
    pq.write_table(pa.table({"image": column}), root / "000.parquet")
    return root


class Trained(System):
    name, title, capabilities, latent_dim, fingerprint = "ours", "Ours", frozenset(), 1, "0"

    def __init__(self, known: TrainedOn | None):
        self.trained_on = known


def measured(dataset, known: TrainedOn | None, out: Path):
    """What is written of a number on each split, and of one that is missing."""

    def run(context, system):
        for split, value in (("test", 0.5), ("valid", 0.5), ("all", 0.5), ("train", None)):
            note = "" if value else "no weights"
            place = Place(context, "table1_reconstruction", system, split=split, note=note)
            yield Measurement([], partial(place.numbers, {"ssim": Estimate(value)}))

    table = "table1_reconstruction"
    benchmark = Benchmark(
        name="reconstruction", table=table, headline=lambda _: "ssim", needs=frozenset(), run=run
    )
    context = lone_context(10, out)
    object.__setattr__(context, "dataset", dataset)
    write_records(out / "records.csv", rows(benchmark, context, [Trained(known)]))
    return read_records(out / "records.csv")


@pytest.mark.parametrize("copied", [None, 32, 48], ids=["as it is", "copy", "larger copy"])
@pytest.mark.parametrize("make", [folder, parquet, webdataset])
def test_numbers_on_training_images_say_so_in_the_tables(make, copied, tmp_path, monkeypatch):
    """Also of one trained on a prepared copy and evaluated on what was copied, and the other way."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    data = copy = open_dataset(make(tmp_path / "photographs"), 32)
    if copied:
        prepare(data.at(copied), tmp_path / "copy")
        copy = open_dataset(tmp_path / "copy", 32)
    for trained, evaluated in {(copy, data), (data, copy)}:
        found = measured(evaluated, TrainedOn.describe("small", trained, "all", 0), tmp_path)
        assert [(r.split, r.note) for r in found] == [
            ("test", SAID), ("valid", SAID), ("all", ""), ("train", "no weights"),
        ]  # fmt: skip
        assert any(SAID in render(table, "", {}) for table in build_tables(found))
    for known in (TrainedOn.describe("small", copy, "train", 0), None):
        assert not any(r.note for r in measured(data, known, tmp_path) if r.value)


@pytest.mark.parametrize("trained_on", ["train", "valid", "test", "all"])
def test_a_number_says_so_wherever_an_image_of_it_was_seen(trained_on, tmp_path, monkeypatch):
    """Also where the split was drawn by another seed, and where other data were seen later."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "photographs")
    other = open_dataset(folder(tmp_path / "others", first=10), 32)
    splits = [open_dataset(root, 32, seed=seed) for seed in range(3)]
    assert len({data.partition.tobytes() for data in splits}) == 3
    for trained in splits:
        first = TrainedOn.describe("small", trained, trained_on, 0)
        seen = set(trained.indices(trained_on).tolist())
        for known in (first, TrainedOn.describe("small", other, "all", 0, before=first)):
            for data in splits:
                for row in measured(data, known, tmp_path)[:2]:
                    if seen & set(data.indices(row.split).tolist()):
                        assert row.note == f"{SAID_OF} ({trained_on} of photographs)"
                    elif data is trained:
                        assert not row.note
        assert not any(row.note for row in measured(other, first, tmp_path) if row.value)


class Encoder(Trained):
    capabilities = frozenset({"semantic"})

    def encode_semantic(self, images):
        return images.mean((1, 2, 3))[:, None]


def test_a_run_folder_names_the_systems_that_saw_its_test_images(tmp_path, monkeypatch):
    """The page and the terminal warn of these, and of no other."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    root = folder(tmp_path / "photographs")
    models = {"unknown": Encoder(None)}
    for split in ("train", "valid", "test", "all"):
        known = TrainedOn.describe("small", open_dataset(root, 32), split, 0)
        models[f"of {split}"] = Encoder(known)
    evaluate(models, "reconstruction", root, "smoke", tmp_path / "run")
    note = json.loads((tmp_path / "run" / "run.json").read_text())
    assert note["seen_in_training"] == {
        "of test": f"{SAID_OF} (test of photographs)",
        "of all": f"{SAID_OF} (all of photographs)",
    }


def test_portraits_are_the_same_images_however_many_were_drawn(tmp_path, monkeypatch):
    """Of one seed: the first of more are those of fewer, whose files have another digest."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    drawn = {}
    for name, count, seed in (("fewer", 24, 0), ("more", 40, 0), ("others", 24, 1)):
        write_dataset(tmp_path / name, count, 16, seed, workers=1)
        drawn[name] = open_dataset(tmp_path / name, 16)
    for trained, evaluated in product(drawn, drawn):
        known = TrainedOn.describe("small", drawn[trained], "train", 0)
        for split in ("train", "valid", "test"):
            seen = split == "train" and (trained == "others") == (evaluated == "others")
            assert bool(known.remark(drawn[evaluated], split)) == seen
