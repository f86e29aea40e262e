"""Each fact of each line that `benchmarks.measure` prints, for every metric, against a second computation."""

import hashlib
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
from light_networks import lighten, write_light_weights
from metric_weights import write_onnx
from PIL import Image
from scipy.stats import sem

from benchmarks import weights
from benchmarks.measure import PAIRS, SETS, main
from benchmarks.metrics import METRICS

LARGE, SMALL = 176, 48  # px: MS-SSIM needs 161
PAIRED, SAMPLES, REFERENCE = 3, 9, 6
STAND_IN = "efficientnet-lite0"
OVERLAPS = {  # of whom the number of neighbours is
    "precision": "k = 3 with <=",
    "recall": "k = 3 with <=",
    "density": "k = 5 with <",
    "coverage": "k = 5 with <",
}


def images(count: int, seed: int, side: int) -> np.ndarray:
    """Colours with grain, transparent in one corner: readers make different images of them."""
    draw = np.random.default_rng(seed)
    level = draw.uniform(60, 190, (count, 1, 1, 4))
    grain = draw.normal(0, 1, (count, side, side, 4)) * draw.uniform(5, 40, (count, 1, 1, 1))
    found = (level + grain).clip(0, 255).round().astype(np.uint8)
    found[..., 3] = 255
    found[:, : side // 4, : side // 3, 3] = 90
    return found


@pytest.fixture(scope="module")
def measure(tmp_path_factory):
    root = tmp_path_factory.mktemp("lines")
    sets = (REFERENCE, 2, SMALL), (SAMPLES, 3, SMALL)
    pairs = (PAIRED, 0, LARGE), (PAIRED, 1, LARGE)
    for name, of in zip("abcd", pairs + sets, strict=True):
        (root / name).mkdir()
        for i, image in enumerate(images(*of)):
            Image.fromarray(image).save(root / name / f"{i}.png")
    folder = write_light_weights(root / "weights")
    write_onnx(folder / weights.KNOWN["arcface"].files[-1].filename)
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch)

        def run(metrics, a, b, capsys, *flags):
            """The lines of each metric."""
            given = ["--weights-dir", str(folder), "--allow-unknown-weights", *flags]
            main([",".join(metrics), str(a), str(b), *given])
            lines = capsys.readouterr().out.splitlines()
            ends = [0, *(i + 1 for i, line in enumerate(lines) if line.split()[0] in metrics)]
            return {lines[end - 1].split()[0]: lines[start:end] for start, end in pairwise(ends)}

        run.root, run.weights = root, folder
        yield run


def has_weights(metric):
    name = METRICS["arcface" if metric == "identity" else metric].network
    return name in ("", STAND_IN, "inception", "alexnet", "vgg16", "arcface")


def by(metric, folder):
    """What the line on the network must hold: its file's hash, and whether it is the published one."""
    name = METRICS["arcface" if metric == "identity" else metric].network
    if not name:
        return [METRICS[metric].title], False
    if name in ("alexnet", "vgg16"):  # whose tensors have a hash, not the file
        return [f"lpips 0.1 ({name})"], True
    path = folder / weights.KNOWN[name].files[-1].filename
    path = path if path.exists() else weights.find(name, None)
    return [f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"], name != STAND_IN


def test_lines_of_pairs(measure, capsys, tmp_path):
    """The mean and its error are those of the pairs, each measured alone."""
    metrics, a, b = list(filter(has_weights, PAIRS)), measure.root / "a", measure.root / "b"
    found = measure(metrics, a, b, capsys, "--batch-size", "2")
    alone = {metric: [] for metric in metrics}
    for i in range(PAIRED):
        pair = [tmp_path / f"{side}{i}" for side in "ab"]
        for folder, to in zip((a, b), pair, strict=True):
            to.mkdir()
            (to / f"{i}.png").symlink_to(folder / f"{i}.png")
        for metric, lines in measure(metrics, *pair, capsys).items():
            assert lines[-2] == "pairs: 1"
            alone[metric].append(float(lines[-1].split()[1]))
    assert found.keys() == alone.keys()
    for metric, (measured_by, *read, pairs, value) in found.items():
        facts, is_other = by(metric, measure.weights)
        assert measured_by.startswith("measured by: ") and all(f in measured_by for f in facts)
        assert ("not the published" in measured_by) == is_other, measured_by
        assert not read
        assert float(value.split()[1]) == pytest.approx(np.mean(alone[metric]), rel=2e-5), metric
        error = re.fullmatch(rf"pairs: {PAIRED}, standard error (\S+)", pairs)
        assert float(error[1]) == pytest.approx(sem(alone[metric]), rel=0.01, abs=1e-9), metric


def test_lines_of_pairs_of_equal_images(measure, capsys, tmp_path):
    """All are equal, or one is: an infinite mean has no error."""
    a = measure.root / "a"
    for mixed in (False, True):
        b = shutil.copytree(a, tmp_path / str(mixed))
        if mixed:
            for path in list((measure.root / "b").iterdir())[1:]:
                shutil.copy(path, b / path.name)
        found = measure(["mse", "psnr"], a, b, capsys)
        assert found["psnr"][-2:] == [f"pairs: {PAIRED}", "psnr inf"]
        assert ("standard error 0\n" in "\n".join([*found["mse"], ""])) != mixed
        assert found["mse"][-2].startswith(f"pairs: {PAIRED}, standard error")


def test_lines_of_sets(measure, capsys, tmp_path):
    """The sets are of unequal size. Without a transparent corner both readings are alike."""
    metrics, sides = list(filter(has_weights, SETS)), [measure.root / "c", measure.root / "d"]
    found = measure(metrics, *sides, capsys, "--reading", "pytorch-fid")
    for folder, to in zip(sides, "cd", strict=True):
        (tmp_path / to).mkdir()
        for path in folder.iterdir():
            Image.open(path).convert("RGB").save(tmp_path / to / path.name)
    plain = measure(["kd_effnet"], tmp_path / "c", tmp_path / "d", capsys)
    assert found.keys() == set(metrics)
    for metric, (measured_by, *read, counted, value) in found.items():
        facts, is_other = by(metric, measure.weights)
        assert all(fact in measured_by for fact in facts), measured_by
        assert ("not the published" in measured_by) == is_other, measured_by
        assert read == ["images read as by pytorch-fid"]
        assert plain.get(metric) in (None, [measured_by, counted, value])
        start, _, remark = counted.partition(f"images: {REFERENCE} images and {SAMPLES} images")
        assert not start
        family = METRICS[metric].stands_in_for or metric
        if family in OVERLAPS:
            assert OVERLAPS[family] in remark
        elif family == "fid":
            assert not remark
        else:
            assert re.fullmatch(r", standard error \S+", remark), counted
