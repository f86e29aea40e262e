"""A representation without a decoder: an object that only encodes, and codes in a file."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from data_files import write_rows
from PIL import Image
from refusal import refusal
from torch.nn.functional import avg_pool2d

from benchmarks import evaluate, run, systems
from benchmarks.runtime.errors import NotAvailable
from diffae.data import open_dataset
from diffae.system.errors import UserError

pytestmark = pytest.mark.usefixtures("no_effnet")
TASKS = ["probes", "reconstruction", "interpolation", "latent", "cost"]
COUNT = 120


class Brightness:
    """Its code is the mean of each channel in each quarter."""

    image_size = 16
    calls = 0

    def encode(self, images):
        self.calls += len(images)
        return avg_pool2d(images, 8).flatten(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Noise with a bright left side where `left` is 1, and a random label, by a labels.csv."""
    root = tmp_path_factory.mktemp("set") / "celeba"
    root.mkdir()
    rng = np.random.default_rng(0)
    rows = ["file,left,coin,kind,score"]
    for index in range(COUNT):
        pixels = rng.integers(0, 160, (16, 16, 3), dtype=np.uint8)
        left, kind = rng.integers(2), rng.integers(3)
        pixels[:, :8] += np.uint8(12 * left)
        pixels[..., kind] += np.uint8(25)
        Image.fromarray(pixels).save(root / f"{index:03d}.png")
        rows.append(f"{index:03d}.png,{left},{rng.integers(2)},k{kind},{rng.normal():.3f}")
    write_rows(root / "labels.csv", [rows[0], *rng.permutation(rows[1:])])
    return open_dataset(root, 16)


def files_of(data):
    return np.array([data.name_of(index) for index in range(len(data))])


@pytest.fixture(scope="module")
def alone(data):
    return evaluate({"mine": Brightness()}, TASKS, str(data.root), "smoke")


def values(results, system):
    of = [row for row in results.rows if row.benchmark == "probes" and row.system == system]
    return {(row.metric, row.setting): row.value for row in of}


def test_an_encoder_alone_has_its_probes_and_elsewhere_a_reason(alone):
    found = values(alone, "mine")
    assert found["auroc", "left"] > 0.9 > 0.75 > found["auroc", "coin"] > 0.25
    attributes = {"left", "coin", "kind=k0", "kind=k1", "kind=k2"}
    assert {setting for metric, setting in found if metric == "ap"} == attributes | {"mean"}
    others = {row.benchmark: row for row in alone.rows if row.benchmark not in ("probes", "cost")}
    assert {*others} == {"reconstruction", "interpolation", "latent"} and not alone.failures
    assert {(row.value, row.note) for row in others.values()} == {(None, "mine cannot decode")}
    assert not any(row.reference for row in alone.rows if row.system == "mine")


def test_the_auroc_of_the_paper_is_not_beside_labels_of_one_s_own(data):
    """Though the folder is called celeba, and the system as the paper's."""
    found = evaluate({"DiffAE": Brightness()}, "probes", str(data.root), "smoke")
    means = [row for row in found.rows if (row.metric, row.setting) == ("auroc", "mean")]
    [row] = [row for row in means if not row.reference]
    assert row.dataset == "celeba" and row.published is None
    assert found.protocols[row.protocol]["attributes"] == "5, not CelebA's 40"


def test_other_labels_are_other_numbers_whatever_the_store_holds(data, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    codes = data.batch(range(COUNT)).flatten(1).numpy()[:, :40]
    np.savez(tmp_path / "z.npz", codes=codes, files=files_of(data))
    shutil.copytree(data.root, root := tmp_path / "set")
    arguments = (f"codes:{tmp_path / 'z.npz'}", "probes", str(root), "smoke")
    before = values(evaluate(*arguments, cache=True), "z")
    cells = [row.split(",") for row in (root / "labels.csv").read_text().splitlines()[1:]]
    changed = [
        [name, left, str(int(coin) ^ (i % 2)), *rest]
        for i, (name, left, coin, *rest) in enumerate(cells)
    ]
    write_rows(root / "labels.csv", ["file,left,coin,kind,score", *map(",".join, changed)])
    after = evaluate(*arguments, cache=True)
    assert values(after, "z")["auroc", "coin"] != before["auroc", "coin"]
    assert values(after, "z") == values(evaluate(*arguments), "z")
    assert data_of(after) != data_of(evaluate(arguments[0], "probes", str(data.root), "smoke"))
    np.savez(tmp_path / "z.npz", codes=codes[:, ::-1] ** 3, files=files_of(data))
    changed = evaluate(*arguments, cache=True)
    assert values(changed, "z") == values(evaluate(*arguments), "z") != values(after, "z")


def data_of(results):
    return {protocol["data_sha256"] for protocol in results.protocols.values()}


@pytest.mark.parametrize("by", ["name", "order"])
def test_codes_of_a_file_have_the_numbers_of_their_encoder(by, data, alone, tmp_path):
    """In any order by name, and with the images' own names."""
    order = np.random.default_rng(0).permutation(COUNT) if by == "name" else np.arange(COUNT)
    codes = Brightness().encode(data.batch(order)).numpy()
    names = {"files": files_of(data)[order]} if by == "name" else {}
    np.savez(tmp_path / "mine.npz", codes=codes.astype(np.float64), **names)
    found = evaluate(f"codes:{tmp_path / 'mine.npz'}", TASKS, str(data.root), "smoke")
    assert values(found, "mine") == values(alone, "mine")
    notes = [row.note for row in found.rows if row.system == "mine" and row.value is not None]
    taken = "mine.npz has no names: its codes are taken in order"
    assert notes and all((taken in note) == (by == "order") for note in notes)
    reasons = {(row.benchmark, row.note) for row in found.rows if row.value is None}
    cannot = "mine cannot decode"
    assert ("latent", cannot) in reasons and ("cost", "mine names no networks") in reasons
    assert (
        "reconstruction",
        f"{cannot} or encode an image fully",
    ) in reasons and not found.failures


def test_a_map_is_read_flat_and_names_may_be_shorter(data, alone, tmp_path):
    codes = Brightness().encode(data.batch(range(COUNT))).reshape(COUNT, 3, 2, 2).numpy()
    longer = np.array([f"/elsewhere/celeba/{name}" for name in files_of(data)])
    np.savez(tmp_path / "mine.npz", codes=codes, files=longer)
    found = evaluate(f"codes:{tmp_path / 'mine.npz'}", "probes", str(data.root), "smoke")
    assert values(found, "mine") == values(alone, "mine")


def test_images_without_a_code_are_a_reason(data, tmp_path):
    codes = np.random.default_rng(0).normal(size=(COUNT, 4))
    np.savez(tmp_path / "few.npz", codes=codes[:50], files=files_of(data)[:50])
    np.savez(tmp_path / "short.npz", codes=codes[:50])
    twice = [f"{folder}/{name}" for folder in "ab" for name in files_of(data)]
    np.savez(tmp_path / "twice.npz", codes=np.tile(codes, (2, 1)), files=twice)
    several = [f"codes:{tmp_path / name}.npz" for name in ("few", "short", "twice")]
    few, short, twice = evaluate(several, "probes", str(data.root), "smoke").rows
    assert few.value is None and f"{tmp_path / 'few.npz'}: has no code of " in few.note
    assert "50 codes, and celeba has 120 images; give the images' names" in short.note
    assert "twice.npz: has several codes of " in twice.note and not few.failed


@pytest.mark.parametrize("form", ["{:03}.png", "{}.png"])
def test_codes_without_names_need_images_in_a_certain_order(form, data, tmp_path):
    """A reader such as CelebA's has the images in the order of a list, which need not ascend."""
    np.savez(tmp_path / "z.npz", codes=(codes := np.arange(2.0 * COUNT).reshape(COUNT, 2)))
    system = systems.load(f"codes:{tmp_path / 'z.npz'}")
    names = tuple(form.format(index) for index in range(COUNT))
    for order in (range(COUNT), sorted(range(COUNT), key=names.__getitem__), range(COUNT)[::-1]):
        listed = tuple(names[place] for place in order)
        dataset = replace(data, source=replace(data.source, names=listed))
        if list(order) == list(range(COUNT)):
            assert np.array_equal(system.codes_of([7, 3], dataset), codes[[7, 3]])
            continue
        with pytest.raises(NotAvailable) as refused:
            system.codes_of([7, 3], dataset)
        why = "has no names, and those of the images of celeba do not ascend"
        assert f"{tmp_path / 'z.npz'}: {why}; give the images' names in an array" in str(
            refused.value
        )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"z": np.zeros((3, 2))}, "needs a file with an array `codes`"),
        ({"codes": np.zeros(3)}, "`codes` must be finite numbers [n, ...], not float64 (3,)"),
        ({"codes": np.full((3, 2), np.nan)}, "`codes` must be finite numbers"),
        ({"codes": np.array([["a", "b"]])}, "`codes` must be finite numbers [n, ...], not <U1 (1, 2)"),
        ({"codes": np.zeros((3, 2)), "files": np.array(["a"])}, "`files` must be 3 different names of images"),
        ({"codes": np.zeros((0, 2))}, "`codes` must be finite numbers"),
        ({"codes": np.zeros((2, 2)), "files": ["a", "b", "a"]}, "must be 2 different names of images"),
        ({"codes": np.zeros((3, 2)), "files": ["a", "b", "a"]}, "`files` must be 3 different names of images"),
        ({"codes": np.array([[None]])}, "codes cannot be read: its header announces object"),
    ],
)  # fmt: skip
def test_a_file_of_no_codes_is_refused_in_one_line(arrays, message, tmp_path):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UserError) as refused:
        systems.load(f"codes:{tmp_path / 'bad.npz'}")
    assert message in str(refused.value) and str(tmp_path / "bad.npz") in str(refused.value)


def test_the_command_takes_codes_and_refuses_what_is_none(data, tmp_path, capsys):
    np.savez(tmp_path / "z.npz", codes=np.random.default_rng(0).normal(size=(COUNT, 4)))
    known = ["probes", "latent", "--data", data.root, "--profile", "smoke", "--dry-run"]
    run.main([*map(str, known), "--systems", f"codes:{tmp_path / 'z.npz'}"])
    assert "not run: z cannot decode (latent)" in capsys.readouterr().out
    for file, words in (
        (tmp_path / "none.npz", "no such file"),
        ("", "needs a file with an array `codes`"),
    ):
        assert words in refusal(run.main, capsys, *known, "--systems", f"codes:{file}")


def test_codes_at_another_scale_have_the_numbers_of_the_same_codes(data, alone, tmp_path):
    """Also where float32 would lose them; but not where a dimension is lost beside another."""
    codes = Brightness().encode(data.batch(range(COUNT))).double().numpy()
    for scale, offset in ((1.0, 1e8), (1e160, 0.0), (1e-310, 0.0)):
        np.savez(tmp_path / "mine.npz", codes=codes * scale + offset, files=files_of(data))
        found = values(
            evaluate(f"codes:{tmp_path / 'mine.npz'}", "probes", str(data.root), "smoke"), "mine"
        )
        assert found == pytest.approx(values(alone, "mine"), abs=1e-3)
    np.savez(tmp_path / "mine.npz", codes=codes * np.array([1e-60] + [1e60] * 11))
    with pytest.raises(
        UserError, match=r"mine\.npz: float32 loses 1 of 12 dimensions beside the others"
    ):
        systems.load(f"codes:{tmp_path / 'mine.npz'}")
