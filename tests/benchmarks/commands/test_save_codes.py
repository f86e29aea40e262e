"""--save-codes: the codes that probes read, as files that give the numbers of the run."""

import csv
import errno

import in_process
import numpy as np
import pytest
from dummies import ColourMap
from PIL import Image
from refusal import refusal
from torch.nn.functional import avg_pool2d

from benchmarks import evaluate, measure
from benchmarks.commands import saved_codes
from benchmarks.measuring.codes import read
from benchmarks.run import main
from benchmarks.systems.protocol.base import System
from diffae.data import open_dataset
from diffae.data.dataset import KINDS
from diffae.data.tables import kind_of
from diffae.system.errors import UserError

pytestmark = pytest.mark.usefixtures("no_effnet")
COUNT, WORDS = 150, ("train", "valid", "test")


class Brightness:
    """Its code is the mean of each channel in each quarter."""

    image_size = 32
    calls = 0

    def encode(self, images):
        self.calls += len(images)
        return avg_pool2d(images, 16).flatten(1)


class Broken(Brightness):
    def encode(self, images):
        if len(images) > 8:  # than are tried at first
            raise RuntimeError("out of order")
        return super().encode(images)


class Drawer(System):
    """It has no code."""

    name, title, capabilities, fingerprint = "drawer", "drawer", frozenset({"sample"}), "drawer"
    image_size, latent_dim = 32, 1

    def sample(self, indices, seed, steps):
        raise AssertionError("nobody asks for samples")


def write_labels(root, *columns):
    with open(root / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows(zip(*columns, strict=True))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Noise whose left and upper halves are bright where a label says so, in a seeded split by
    persons, of whom each is in two images.
    """
    root, rng = tmp_path_factory.mktemp("set") / "noise", np.random.default_rng(1)
    root.mkdir()
    left, upper = rng.integers(0, 2, (2, COUNT))
    for index in range(COUNT):
        pixels = rng.integers(0, 160, (32, 32, 3), dtype=np.uint8)
        pixels[:, :16] += np.uint8(3 * left[index])
        pixels[:16] += np.uint8(3 * upper[index])
        Image.fromarray(pixels).save(root / f"{index:03d}.png")
    names = [f"{index:03d}.png" for index in range(COUNT)]
    who = rng.permutation(np.repeat(np.arange(COUNT // 2), 2))
    write_labels(root, ["file", *names], ["left", *left], ["upper", *upper], ["person", *who])
    return root


@pytest.fixture(scope="module")
def run(root, tmp_path_factory):
    """The run folder and the folder of codes of a command, of two systems."""
    out, codes = (tmp_path_factory.mktemp("run") / name for name in ("out", "codes"))
    systems = ("--systems", "dummy-map,dummy-tokens")
    result = in_process.command(
        main, "probes", *systems, "--profile", "smoke", "--data", root, "--out", out,
        "--save-codes", codes, cache=tmp_path_factory.mktemp("cache"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out, codes


def probed(out, name):
    """The value and standard error of the mean over attributes, by metric."""
    with open(out / "records.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["system"] == f"dummy: {name}"]
    return {
        r["metric"]: (float(r["value"]), float(r["stderr"])) for r in rows if r["setting"] == "mean"
    }


@pytest.mark.slow
def test_any_number_of_processes_writes_the_same_files(root, run, tmp_path):
    process = in_process.start(
        "probes", "--systems", "dummy-map,dummy-tokens", "--profile", "smoke", "--data", root,
        "--out", tmp_path / "out", "--save-codes", tmp_path / "codes", cache=tmp_path, processes=2,
    )  # fmt: skip
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for path in run[1].iterdir():
        assert (tmp_path / "codes" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["map", "tokens"])
def test_the_files_give_the_numbers_of_the_run(run, name, capsys):
    """AUROC, AP and their errors over persons: the fits, C and the scored images are the same."""
    out, codes = run
    measure.main(["auroc,ap", str(codes / f"dummy-{name}.npz")])
    lines = capsys.readouterr().out.splitlines()
    for metric, (value, error) in probed(out, name).items():
        if metric in ("auroc", "ap"):
            (line,) = (line for line in lines if line.startswith(f"{metric} "))
            assert float(line.split()[1]) == pytest.approx(value, rel=1e-6)
            before = lines[lines.index(line) - 1]
            assert (
                before
                == f"images: {before.split()[1][:-1]}, standard error {error:.3g} over persons"
            )


@pytest.fixture(scope="module")
def saved(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("python") / "codes"
    found = evaluate({"mine": Brightness()}, "probes", str(root), "smoke", save_codes=folder)
    return found, folder / "mine.npz"


def test_each_row_is_of_the_image_that_it_names(root, saved):
    data = open_dataset(root, 32)
    codes, _ = read(saved[1])
    with np.load(saved[1]) as arrays:
        files, split = arrays["files"].tolist(), arrays["split"]
    place = {data.name_of(index): index for index in range(COUNT)}
    order = np.array([place[name] for name in files])
    assert len(set(files)) == COUNT and not np.array_equal(order, np.sort(order))
    assert np.allclose(codes.values, Brightness().encode(data.batch(order)).numpy(), atol=1e-6)
    assert np.array_equal(codes.labels.values, data.labels(order))
    assert codes.labels.names == ("left", "upper") and codes.labels.kinds == ("binary", "binary")
    assert np.array_equal(split, data.partition[order]) and np.array_equal(codes.split, split)
    who = data.identities[order]
    assert np.array_equal(who[:, None] == who, codes.persons[:, None] == codes.persons)


def test_from_python_too_the_numbers_are_those_of_the_run(saved, capsys):
    means = [r for r in saved[0].rows if (r.metric, r.setting) == ("auroc", "mean")]
    (row,) = (r for r in means if not r.reference)
    measure.main(["auroc", str(saved[1])])
    assert float(capsys.readouterr().out.split()[-1]) == pytest.approx(row.value, rel=1e-7)


def test_labels_in_a_table_are_matched_to_the_files(root, saved, capsys):
    """The table beside the images gives the labels that are in the file."""
    with np.load(saved[1]) as arrays:
        bare = {name: arrays[name] for name in ("codes", "files", "split")}
    np.savez(saved[1].with_name("bare.npz"), **bare)
    inside, _ = read(saved[1])
    outside, _ = read(saved[1].with_name("bare.npz"), root / "labels.csv")
    assert np.array_equal(inside.labels.values, outside.labels.values)
    assert np.array_equal(inside.persons, outside.persons)


def test_labels_of_all_kinds_are_kept(root, tmp_path):
    table = tmp_path / "set" / "labels.csv"
    tmp_path.joinpath("set").mkdir()
    for path in root.glob("*.png"):
        tmp_path.joinpath("set", path.name).write_bytes(path.read_bytes())
    names = sorted(path.name for path in root.glob("*.png"))
    columns = {
        "kind": [f"k{n % 3}" for n in range(COUNT)],
        "age": [n / 7 for n in range(COUNT)],
        "left": [n % 2 for n in range(COUNT)],
        "count:real": [n % 5 for n in range(COUNT)],  # whole numbers, guessed to be classes
        "turn:ordered": [n % 4 for n in range(COUNT)],  # the same
    }
    write_labels(table.parent, ["file", *names], *([name, *of] for name, of in columns.items()))
    evaluate(
        {"mine": Brightness()}, "probes", str(table.parent), "smoke", save_codes=tmp_path / "codes"
    )
    found, _ = read(tmp_path / "codes" / "mine.npz")
    expected, _ = read(tmp_path / "codes" / "mine.npz", table)
    kinds = {"kind": "classes", "age": "real", "left": "binary", "count": "real", "turn": "ordered"}
    assert dict(zip(found.labels.names, found.labels.kinds, strict=True)) == kinds
    assert set(kinds.values()) == set(KINDS.values())
    guessed = [kind_of(set(column)) for column in found.labels.values.T.tolist()]
    assert [a != b for a, b in zip(guessed, kinds.values(), strict=True)] == [False] * 3 + [
        True
    ] * 2
    place = [expected.labels.names.index(name) for name in found.labels.names]
    assert np.allclose(found.labels.values, expected.labels.values[:, place], rtol=1e-12)


def test_images_without_labels_have_codes(root, tmp_path):
    for path in root.glob("*.png"):
        tmp_path.joinpath("set").mkdir(exist_ok=True)
        tmp_path.joinpath("set", path.name).write_bytes(path.read_bytes())
    folder = tmp_path / "codes"
    evaluate({"mine": Brightness()}, "probes", str(tmp_path / "set"), "smoke", save_codes=folder)
    codes, _ = read(folder / "mine.npz")
    assert codes.labels is None and len(codes.values) == COUNT and codes.split is not None


def test_codes_are_those_of_the_store_and_replace_those_of_an_earlier_run(
    root, tmp_path, monkeypatch
):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    encode, seen = ColourMap.encode_semantic, []

    def counted(self, images):
        seen.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(ColourMap, "encode_semantic", counted)
    folder = tmp_path / "codes"
    how = {"data": str(root), "profile": "smoke", "cache": True}
    evaluate("dummy-map", "probes", **how)
    assert sum(seen) >= COUNT
    seen.clear()
    evaluate(["dummy-map", "dummy-layers"], "probes", save_codes=folder, **how)
    assert sum(seen) <= 20  # that are tried at first
    first = (folder / "dummy-map.npz").read_bytes()
    assert (folder / "dummy-layers.npz").exists()
    evaluate("dummy-map", "probes", save_codes=folder, **how)
    assert {path.name for path in folder.iterdir()} == {"dummy-map.npz", "made.json"}
    assert (folder / "dummy-map.npz").read_bytes() == first


def test_a_system_that_fails_or_has_no_code_has_no_file(root, tmp_path, capsys):
    models = {"mine": Brightness(), "broken": Broken(), "drawer": Drawer()}
    evaluate(models, "probes", str(root), "smoke", save_codes=tmp_path / "codes")
    assert {path.name for path in (tmp_path / "codes").iterdir()} == {"mine.npz", "made.json"}
    assert "no codes of broken saved: " in capsys.readouterr().err


def test_all_files_are_written_or_none(root, tmp_path, monkeypatch):
    whole, written = saved_codes.write_whole, []

    def fill(path, content):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path.name)
        whole(path, content)

    monkeypatch.setattr(saved_codes, "write_whole", fill)
    models, folder = {"mine": Brightness(), "yours": Brightness()}, tmp_path / "codes"
    with pytest.raises(
        UserError, match="No space left on device; make room or choose another --save-codes"
    ):
        evaluate(models, "probes", str(root), "smoke", save_codes=folder)
    assert written == ["mine.npz"] and not list(tmp_path.iterdir())


def test_a_folder_of_others_is_refused_before_the_work(root, tmp_path, capsys):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "notes.txt").write_text("a page of somebody's\n")
    model = Brightness()
    with pytest.raises(UserError, match=r"^--save-codes .*theirs: exists, and was not made by"):
        evaluate({"mine": model}, "probes", str(root), "smoke", save_codes=theirs)
    with pytest.raises(UserError, match="is inside"):
        evaluate({"mine": model}, "probes", str(root), "smoke", save_codes=root / "codes")
    assert model.calls == 0 and [path.name for path in theirs.iterdir()] == ["notes.txt"]
    how = ("probes", "--systems", "dummy-map", "--data", root)
    line = refusal(main, capsys, *how, "--save-codes", theirs, "--dry-run")
    assert f"--save-codes {theirs}: " in line
    line = refusal(
        main, capsys, *how, "--out", tmp_path / "x", "--save-codes", tmp_path / "x" / "y"
    )
    assert "is inside what --out writes" in line
