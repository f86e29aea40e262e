"""Data of one to four images: every benchmark gives rows, with a reason if there is no number."""

import numpy as np
import pytest
from colours import without_effnet
from lone_context import small_context
from PIL import Image

from benchmarks import systems
from benchmarks.core.registry import REGISTRY
from benchmarks.core.runner.evaluation import rows
from diffae.data import open_dataset

PARTITIONS = [(2,), (0, 2, 2), (0, 0, 2)]


def write_images(folder, count):
    folder.mkdir(parents=True)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def write_celeba(folder, partition):
    """Two attributes, of which all have one, and two pictures of each person."""
    write_images(folder / "img_align_celeba", len(partition))
    names = [f"{index}.png" for index in range(len(partition))]
    rows = [f"{name} {1 if index % 2 else -1} 1" for index, name in enumerate(names)]
    files = {
        "list_attr_celeba.txt": [str(len(names)), "Male Young", *rows],
        "list_eval_partition.txt": map("{} {}".format, names, partition),
        "identity_CelebA.txt": [f"{name} {index // 2}" for index, name in enumerate(names)],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join(lines))
    return folder


def measured(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    context = without_effnet(small_context(open_dataset(folder, 32), tmp_path))
    loaded = [systems.load(name, None, "cpu") for name in ("dummy-perfect", "dummy-constant")]
    for name in REGISTRY.names():
        found = list(rows(REGISTRY.get(name), context, loaded))
        assert found, name
        assert all(row.note for row in found if row.value is None), name
        yield from found


@pytest.mark.parametrize("partition", PARTITIONS, ids=str)
def test_a_few_labelled_images(tmp_path, monkeypatch, partition):
    """A single test image ended `interpolation`, and with it the run, with a ValueError of numpy's."""
    folder = write_celeba(tmp_path / "set", partition)
    found = list(measured(folder, tmp_path, monkeypatch))
    alone = partition.count(2) == 1
    notes = {row.note for row in found if row.benchmark == "interpolation"}
    assert ("one test image makes no pair" in notes) == alone
    perfect = [row for row in found if row.metric == "ssim" and row.value is not None]
    assert perfect and max(row.value for row in perfect) == pytest.approx(1)


@pytest.mark.parametrize("count", [2])
def test_a_few_images_without_labels(tmp_path, monkeypatch, count):
    folder = write_images(tmp_path / "set", count)
    assert any(row.value is not None for row in measured(folder, tmp_path, monkeypatch))
