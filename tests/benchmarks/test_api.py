"""`evaluate`: the numbers of the command from Python, with the caller's state unchanged."""

import json
import os
import re
import sys
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import sem, ttest_1samp
from small_systems import Everything
from systems import Pixels, noted
from torch import nn

from benchmarks import evaluate, evaluate_iter, run, systems
from benchmarks.core.registry import REGISTRY
from benchmarks.systems.references import PixelsPCA
from diffae import DiffusionAutoencoder
from diffae.data import open_dataset
from diffae.system.errors import UserError
from reports.page.sheets import read_sheet
from reports.records.record import COLUMNS, read_records

pytestmark = pytest.mark.usefixtures("no_effnet")
ENDS = attrgetter("ci_low", "ci_high")  # of a record that is read, computed again from its error
CELLS = attrgetter(*(name for name in COLUMNS if not name.startswith("ci_")))


class Half(Pixels):
    """Its picture has half of the image's contrast."""

    def __init__(self, name="half"):
        super().__init__(contrast=0.5, name=name)


@pytest.fixture(scope="module")
def half(patches):
    return evaluate(Half(), "reconstruction", patches, "smoke")


@pytest.fixture(scope="module")
def two(patches):
    """A model, and one whose own x_T is perfect and no other."""
    models = {"one": Half(), "two": "dummy-stochastic"}
    return evaluate(models, "reconstruction", patches, "smoke")


def assert_same(rows, records):
    assert list(map(CELLS, rows)) == list(map(CELLS, records))
    ends = [np.array(list(map(ENDS, lines)), float) for lines in (rows, records)]
    np.testing.assert_allclose(*ends, rtol=1e-9)  # NaN where there is no interval


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("here"))
    monkeypatch.setattr(sys, "argv", ["x", "--no-such-flag"])  # which nothing reads
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_the_rows_are_those_of_the_command(patches, tmp_path):
    out = tmp_path / "run"
    tasks, models = ["reconstruction", "memorisation"], ["dummy-perfect", "dummy-constant"]
    arguments = [*tasks, "--systems", ",".join(models), "--limit", "12"]
    run.main([*arguments, "--data", str(patches.root), "--profile", "smoke", "--out", str(out)])
    results = evaluate(models, tasks, patches, "smoke", limit=12)
    expected = read_records(out / "records.csv")
    assert len(expected) > 20
    frame = results.frame()
    assert list(frame.columns) == list(COLUMNS) and len(frame) == len(expected)
    assert_same(results.rows, expected)
    assert results.protocols == json.loads((out / "run.json").read_text())["protocols"]
    table = (out / "tables" / "table1_reconstruction.md").read_text()
    assert results.markdown("table1_reconstruction") == table
    assert "profile smoke, counts limited to 12" in table


def test_nothing_is_written_without_out(patches, monkeypatch):
    _ = patches.fingerprint  # which is kept
    before = files(Path.cwd()), files(Path(os.environ["DIFFAE_CACHE"]))
    results = evaluate("dummy-constant", data=patches, profile="smoke", limit=12)
    assert (files(Path.cwd()), files(Path(os.environ["DIFFAE_CACHE"]))) == before
    assert {row.benchmark for row in results.rows} == set(REGISTRY.own)
    assert {row.benchmark for row in results.times} == {"cost"}


def test_out_is_a_run_folder_like_the_commands(patches, tmp_path):
    out = tmp_path / "run"
    results = evaluate(Half(), "reconstruction", patches, "smoke", out)
    written = read_records(out / "records.csv")
    assert_same(written, results.rows)
    note = json.loads((out / "run.json").read_text())
    assert note["complete"] and note["protocols"] == results.protocols
    assert (out / "pictures" / "reconstruction-half.png").exists()
    assert set(results.compare(out)["verdict"]) == {"same"}


@pytest.mark.parametrize("base", ["smoke", "paper"])
def test_the_tables_are_those_of_the_run_folder(base, patches, tmp_path):
    """Also by a profile of one's own, whose headlines are its base's: `paper` leads with FID."""
    sizes = "[reconstruction]\nimages = 4\nsteps = [2]\n[samples]\ncount = 12\nsteps = [4]\n"
    (tmp_path / "mine.toml").write_text(f'base = "{base}"\n{sizes}')
    profile, out = tmp_path / "mine.toml", tmp_path / "run"
    tasks = ["reconstruction", "unconditional"]
    results = evaluate(Everything(), tasks, str(patches.root), profile, out, limit=12)
    written = {path.stem: path.read_text() for path in (out / "tables").glob("*.md")}
    assert written == {name: results.markdown(name) for name in results.tables}
    assert ("fd_effnet" in results.summary()) == (base == "paper")


@pytest.mark.parametrize("cache", [None, False, True])
@pytest.mark.parametrize("has_out", [False, True])
def test_the_store_is_used_where_it_is_asked_for(cache, has_out, patches, tmp_path):
    """Without being asked, where there is a run folder."""
    out = tmp_path / "run" if has_out else None
    evaluate(Half(), "reconstruction", patches, "smoke", out, limit=2, cache=cache)
    kept = any(Path(os.environ["DIFFAE_CACHE"], "store").glob("*/*.npz"))
    assert kept == (has_out if cache is None else cache)


def test_rows_come_while_they_are_measured(patches):
    """The second system would fail if it were asked: nobody has got so far."""
    late = Half("late")
    calls = noted(late)["encode_semantic"]
    rows = evaluate_iter([Half(), late], "reconstruction", patches, "smoke")
    assert calls == []
    first = next(rows)
    assert (first.system, calls) == ("half", [])
    rest = list(rows)
    assert calls and {row.system for row in rest} == {"half", "late"}


def test_samples_are_the_scores_of_each_image(patches, half):
    samples = half.samples()
    assert len(samples) == 16 and samples["image"].is_unique
    for _, sample in samples.iterrows():
        image = patches.batch([sample["image"]]).double()
        error = float(((image / 4) ** 2).mean())  # half of it, in [0, 1]
        assert sample["mse"] == pytest.approx(error, rel=1e-5)
        assert Path(sample["file"]).samefile(patches.source.where(sample["image"]))
    frame = half.frame().set_index(["table", "metric"])
    expected = frame.loc[("table1_reconstruction", "mse"), "value"]
    assert samples["mse"].mean() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "tasks, arguments",
    [
        (["reconstruction", "memorisation"], lambda steps: {"steps": steps}),
        (["reconstruction"], lambda steps: {"settings": {"reconstruction.steps": steps}}),
    ],
)
def test_no_number_depends_on_the_order_of_steps(tasks, arguments, patches):
    """Table 1 is of the largest T, and `memorisation` too where all have one list of steps."""
    first, second = (
        evaluate(Everything(), tasks, str(patches.root), "smoke", limit=4, **arguments(steps))
        for steps in ((2, 4), (4, 2))
    )
    assert set(map(repr, first.rows)) == set(map(repr, second.rows))
    assert first.summary() == second.summary() and "T = 4" in first.summary()


def test_tables_are_as_they_are_printed(two):
    table = two.table("table1_reconstruction")
    assert list(dict.fromkeys(table["system"])) == ["one", "two"]
    value = two.frame().query("metric == 'mse' and system == 'one'")["value"].iloc[0]
    assert table["MSE ↓"].iloc[0].startswith(f"{value:.4f}"[:6])
    assert "one" in two._repr_markdown_() and "two" in repr(two)
    ssim = two.frame().query("metric == 'ssim' and setting == 'x_T random'")["value"].iloc[0]
    text = two.summary()
    assert "reconstruction" in text and "SSIM ↑" in text and "one" in text and "two" in text
    assert f"{ssim:.4f}" in text
    with pytest.raises(UserError, match=r"no table 'table1_recnstruction'; did you mean"):
        two.table("table1_recnstruction")


def test_a_worse_model_is_a_regression(patches, half, two):
    class Worse(Half):
        def decode(self, code, steps=100):
            return super().decode(code) / 2

    models = [Worse(), "dummy-perfect"]
    both = evaluate(models, "reconstruction", patches, "smoke")
    found = both.compare(half)
    verdicts = found[found["system"] == "half"].set_index("metric")["verdict"]
    assert verdicts["mse"] == "regression" and verdicts["latent_dim"] == "same"
    assert found["verdict"].iloc[0] == "regression" and found["paired"].any()
    assert found.attrs == {"base": repr(half), "new": repr(both)}
    with pytest.raises(UserError, match="alpha must be between 0 and 1, not 5"):
        half.compare(half, alpha=5)
    with pytest.raises(UserError, match="these results and the base have no number in common"):
        two.compare(half)


@pytest.mark.parametrize(
    ("opened", "field"), [({"seed": 1}, "partition"), ({"crop": "adm"}, "transform")]
)
def test_runs_on_other_splits_or_crops_of_the_same_files_are_not_compared(opened, field, patches):
    base, other = (
        evaluate(Half(), "reconstruction", open_dataset(patches.root, 32, **how), "smoke", limit=4)
        for how in ({}, opened)
    )
    with pytest.raises(UserError, match=f"protocols differ in {field}"):
        other.compare(base)


def test_the_summary_has_a_row_for_each_benchmark_of_one_metric(patches):
    """`reconstruction` and `denoising` both have the squared error among their headlines."""
    tasks = ["reconstruction", "denoising"]
    both = evaluate(Everything(), tasks, str(patches.root), "smoke", limit=4).summary()
    for task in tasks:
        alone = evaluate(Everything(), task, str(patches.root), "smoke", limit=4).summary()
        numbers = set(re.findall(r"± \S+", alone))
        assert task in alone and numbers and numbers <= set(re.findall(r"± \S+", both))


def test_p_is_of_the_paired_t_test_above_the_margin(patches, half):
    """SciPy's, of an image's score against the same image's; better and worse by turns."""

    class Unlike(Half):
        def decode(self, code, steps=100):
            turn = (1e4 * code.semantic[:, 0]).sin().reshape(-1, 1, 1, 1)
            return super().decode(code) * (1 + 0.2 * turn)

    new = evaluate(Unlike(), "reconstruction", patches, "smoke")
    row = new.compare(half).set_index("metric").loc["mse"]
    loss = new.samples()["mse"].to_numpy() - half.samples()["mse"].to_numpy()
    test = ttest_1samp(loss, row["margin"], alternative="greater")
    assert (row["loss"], row["stderr"]) == pytest.approx((loss.mean(), sem(loss)), rel=1e-4)
    assert row["p"] == pytest.approx(test.pvalue, rel=1e-3) and 1e-3 < row["p"] < 1 - 1e-3


class Net(Half, nn.Module):
    """A network with dropout, which would be heard in training mode, and noise of its own."""

    def __init__(self):
        nn.Module.__init__(self)
        Half.__init__(self, "net")
        self.dropout = nn.Dropout(0.5)
        self.layer = nn.Linear(1, 1)
        self.frozen = nn.BatchNorm1d(3).eval()

    def encode_semantic(self, images):
        torch.rand(3)
        return self.dropout(images.flatten(1))

    def networks(self):
        return {"all": self}


def test_a_model_in_training_is_left_as_it_was(patches, half):
    net = Net().train()
    net.frozen.eval()
    net.layer(torch.ones(1, 1)).backward()
    before = {name: p.grad.clone() for name, p in net.layer.named_parameters()}
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    switches = torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype()
    rows = []
    for row in evaluate_iter(net, "reconstruction", patches, "smoke"):
        rows.append(row)
        assert net.training and net.dropout.training and not net.frozen.training
        assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    assert torch.equal(torch.rand(2), expected)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.get_default_dtype()) == switches
    assert all(torch.equal(p.grad, before[name]) for name, p in net.layer.named_parameters())
    mse, theirs = ({row.value for row in of if row.metric == "mse"} for of in (rows, half.rows))
    assert mse == theirs
    net.layer(torch.ones(1, 1)).backward()  # and it goes on learning


def test_a_reader_who_stops_leaves_no_trace(patches, tmp_path):
    net, out = Net().train(), tmp_path / "run"
    given = (net, "reconstruction", patches, "smoke", out)
    rows = evaluate_iter(*given, limit=4)
    next(rows)
    rows.close()
    assert net.dropout.training
    assert read_records(out / "records.csv")
    assert json.loads((out / "run.json").read_text())["complete"] is False
    evaluate(*given, limit=4)  # the folder is not locked
    assert json.loads((out / "run.json").read_text())["complete"] is True


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(tasks="reconstrction"), UserError, "unknown benchmark 'reconstrction'; did you mean"),
        (dict(tasks=[]), UserError, "tasks: no benchmark given"),
        (dict(out=""), UserError, "out: is empty; give a path"),
        (dict(profile="quik"), UserError, "no such file; did you mean quick"),
        (dict(precison="tf32"), TypeError, "no argument 'precison'; did you mean precision"),
        (dict(tasks=3), UserError, "unknown benchmark '3'"),
        (dict(explain="yes"), UserError, "explain: must be True or False, not 'yes'"),
        (dict(crop="centre"), UserError, "crop 'centre': the data set was opened already"),
        (dict(attributes="Smilin"), UserError, "no attribute 'Smilin'"),
        (dict(model=[]), UserError, "nothing to measure"),
        (
            dict(model={"": Half()}),
            UserError,
            "title must be one printable line of 1 to 200 characters, not ''",
        ),
        (
            dict(model={"a\nb": Half()}),
            UserError,
            r"title must be one printable line .*, not 'a\\nb'",
        ),
        (dict(batch_size=True), UserError, "must be a number, not True|is not a whole number"),
        (dict(cache="yes"), UserError, "cache 'yes': must be True or False"),
        (dict(settings=[1]), UserError, r"settings \[1\]: must be a dictionary"),
        (
            dict(model=[Half(), Half()]),
            UserError,
            "title half is listed 2 times; give a dictionary",
        ),
        (dict(model="difae"), UserError, "difae"),
        (dict(device="cuda:99"), UserError, "device: cuda:99: no such GPU here"),
        (dict(limit=0), UserError, "^limit: must be at least 1, not 0"),
        (dict(batch_size=0), UserError, "^batch_size: must be at least 1, not 0"),
        (dict(precision="tf31"), UserError, "^precision: no choice 'tf31'; did you mean tf32"),
        (dict(data="nowhere"), UserError, "nowhere"),
    ],
)
def test_bad_arguments_are_exceptions_at_once(patches, arguments, error, message):
    given = {"model": Half(), "data": patches, "profile": "smoke"} | arguments
    with pytest.raises(error, match=message):
        evaluate_iter(given.pop("model"), **given)


def test_of_several_names_none_are_as_if_not_given(patches):
    given = {name: [] for name in ("features", "attributes", "protocol")}
    assert list(evaluate_iter("dummy-constant", "memorisation", patches, "smoke", limit=4, **given))


def test_a_data_set_of_another_size_is_refused(patches):
    with pytest.raises(UserError, match=r"has images of 32 px, but pixels takes 64 px; give"):
        evaluate_iter(Pixels(64), data=patches)


def test_a_system_that_was_measured_is_as_before(patches):
    system = systems.load("dummy-perfect")
    models = {"one": system, "other": system}
    found = evaluate(models, "reconstruction", patches, "smoke", limit=4)
    assert set(found.frame()["system"]) == {"one", "other"}
    assert (system.title, system.name) == ("dummy: perfect", "dummy-perfect")


def test_a_system_that_learns_from_data_is_the_same_run_again(patches, tmp_path):
    for system in (systems.load("pixels-pca"), PixelsPCA(None, torch.device("cpu"))):
        before, runs = system.fingerprint, []
        for _ in range(2):
            out = tmp_path / type(system).__name__
            runs.append(evaluate(system, "reconstruction", patches, "smoke", out, limit=4))
        assert system.fingerprint == before == "unfitted"
        assert runs[0].run.has_measured  # though it is a reference
        assert not runs[0].failures and runs[0].rows == runs[1].rows


class Plain(nn.Module):
    """What people have: a module with encode and decode, and no idea of this package."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def encode(self, images):
        return self.scale * images.flatten(1)

    def decode(self, code):
        return code.reshape(-1, 3, 32, 32)


def test_any_object_with_encode_and_decode(patches, half):
    wrapped = systems.wrap(Plain(), image_size=32, title="plain")
    results = evaluate(wrapped, "reconstruction", patches, "smoke")
    plain, theirs = (
        {row.metric: row.value for row in found.rows if row.table == "table1_reconstruction"}
        for found in (results, half)
    )
    assert plain.keys() == theirs.keys() and len(plain) == 13
    for metric, value in theirs.items():
        assert plain[metric] == (value if value is None else pytest.approx(value, rel=1e-9))
    with pytest.raises(UserError, match=r"wrap\(model, image_size=64\)"):
        evaluate(Plain(), data=patches)


def test_a_model_that_has_learned_is_measured_anew(patches):
    model = Plain()
    wrapped = systems.wrap(model, image_size=32, title="plain")

    def mse():
        rows = evaluate_iter(wrapped, "reconstruction", patches, "smoke", cache=True, limit=4)
        return next(row.value for row in rows if row.metric == "mse")

    first = mse()
    assert mse() == first
    with torch.no_grad():
        model.scale.fill_(1.0)
    assert first > 0 and mse() == 0


def test_a_model_in_memory_has_the_numbers_of_its_checkpoint(patches, untrained):
    model = DiffusionAutoencoder.from_pretrained(untrained / "diffae")
    live = {"DiffAE": model.train() if isinstance(model, nn.Module) else model}
    tasks = ["reconstruction", "interpolation"]
    settings = {"reconstruction.images": 4, "interpolation.pairs": 2}
    found, kept = (
        evaluate(one, tasks, patches, "smoke", settings=settings, steps=[2])
        for one in (live, str(untrained / "diffae"))
    )
    ours, theirs = ([(r.metric, r.setting, r.value) for r in of.rows] for of in (found, kept))
    assert ours == theirs
    assert not found.failures and len(found.rows) > 12
    assert {p.dtype for p in model.unet.parameters()} == {torch.float32}


def share(contrast):
    """Systems of one name."""
    return Pixels(contrast=contrast)


class ShareOfAnObject(nn.Module):
    image_size = 32

    def __init__(self, share):
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def encode(self, images):
        return images * self.share

    def decode(self, code):
        return code


@pytest.mark.parametrize(
    ("kind", "titles"),
    [
        (share, ("!", "?")),
        (ShareOfAnObject, ("!", "?")),
        (ShareOfAnObject, ("A", "a", "a 1")),
        (ShareOfAnObject, ("a 1", "A", "a")),
    ],
)
def test_models_have_files_and_results_of_their_own_whatever_their_titles(
    titles, kind, patches, tmp_path
):
    """Systems all have one name, and an object has the name that its title makes."""
    models = {title: kind(1 / (2 + number)) for number, title in enumerate(titles)}
    asked = ("reconstruction", str(patches.root), "smoke")
    how = {"limit": 4, "save_images": True}
    together = evaluate(models, *asked, tmp_path / "all", **how)
    numbers, drawn, saved = [], [], set()
    for number, (title, model) in enumerate(models.items()):
        out = tmp_path / str(number)
        found = evaluate({title: model}, *asked, out, cache=False, **how)
        numbers += [(row.system, row.metric, row.value) for row in found.rows]
        drawn += [hash(path.read_bytes()) for path in out.glob("pictures/*.png")]
        saved |= {hash(path.read_bytes()) for path in out.glob("images/*/*.png")}
    assert [(row.system, row.metric, row.value) for row in together.rows] == numbers
    sheets = list(tmp_path.glob("all/pictures/*.png"))
    assert sorted(hash(path.read_bytes()) for path in sheets) == sorted(drawn)
    assert {read_sheet(path).about["system"] for path in sheets} == set(titles)
    assert {hash(path.read_bytes()) for path in tmp_path.glob("all/images/*/*.png")} == saved
