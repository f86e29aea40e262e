"""What a run says before it computes, and of what failed, on stderr."""

from types import SimpleNamespace

import pytest

from benchmarks import weights
from benchmarks.commands import running
from benchmarks.runtime.choices import TaskOptions
from benchmarks.runtime.errors import NotAvailable
from diffae.system.errors import UserError


class Data:
    """What is said of a data set of 12,345 images."""

    name, image_size, partition_source = "faces", 32, "one in ten by name"
    left_out, labelled = ("3 of another kind", "a list of people"), True

    def __len__(self):
        return 12_345


class Networks:
    perceptual = SimpleNamespace(metric_name="pd_effnet")
    features = (SimpleNamespace(metric_name="fd_effnet"), SimpleNamespace(metric_name="fid"))

    @property
    def face(self):
        raise NotAvailable("no face here")


@pytest.fixture
def evaluation():
    choice = SimpleNamespace(stand_ins=True, weights_dir=None)
    own = {"choice": choice, "options": TaskOptions()}
    context = SimpleNamespace(dataset=Data(), networks=Networks(), **own)
    systems = [SimpleNamespace(title=title, image_size=32) for title in ("One", "Two")]
    missing = {"Three": "it has no file", "Four": NotAvailable("it needs a package")}
    return SimpleNamespace(context=context, systems=systems, missing=missing)


@pytest.fixture
def said(evaluation, capsys):
    def announced(*benchmarks):
        running.announce(evaluation, benchmarks)
        out, err = capsys.readouterr()
        assert not out
        return err.splitlines()

    return announced


def test_data_systems_and_metrics_are_said_a_line_each(said):
    assert said("reconstruction") == [
        "data: faces, 12,345 images, 32 px; split: one in ten by name",
        "left out: 3 of another kind",
        "left out: a list of people",
        "systems: One, Two",
        "not run: Three: it has no file",
        "not run: Four: it needs a package",
        "metrics: pd_effnet (in place of LPIPS), fd_effnet, fid",
        "metric weights: only those that packages hold (--stand-ins)",
    ]


def test_weights_that_are_not_here_are_named_where_some_can_be_fetched(
    evaluation, said, tmp_path, monkeypatch
):
    """Looked for where the run looks; those of the networks of features are said by their choice."""
    evaluation.context.choice = SimpleNamespace(stand_ins=False, weights_dir=tmp_path)
    fetched = {"a": True, "b": True, "c": False, "inception": True}
    known = {name: SimpleNamespace(is_fetched=is_fetched) for name, is_fetched in fetched.items()}
    monkeypatch.setattr(weights, "KNOWN", known)
    monkeypatch.setattr(running, "FEATURE_NETWORKS", ("inception",))
    here = {"b"}
    monkeypatch.setattr(
        weights, "find", lambda name, folder: name if folder == tmp_path and name in here else None
    )
    assert said("cost")[-1].startswith("missing metric weights: a (`python -m benchmarks.run")
    here.clear()
    assert said("cost")[-1].startswith("missing metric weights: a, b (")
    here |= {"a", "b"}
    assert said("cost")[-1].startswith("metrics: ")


def test_what_failed_is_told_once_for_each_system_and_reason(tmp_path, capsys):
    def failing(*failures):
        rows = [
            SimpleNamespace(system=system, note=note, benchmark=benchmark, failed=True)
            for system, note, benchmark in failures
        ]
        return SimpleNamespace(results=SimpleNamespace(failures=rows, measured=True), out=tmp_path)

    running._tell_failures(failing())
    assert capsys.readouterr().err == ""
    with pytest.raises(UserError, match=r"^1 measurement failed, see above; the others are in /"):
        running._tell_failures(failing(("One", "no memory", "cost")))
    assert capsys.readouterr().err == "failed: One: no memory (cost)\n"
    rows = [
        ("One", "a", "cost"),
        ("Two", "a", "cost"),
        ("One", "b", "cost"),
        ("One", "a", "latent"),
    ]
    with pytest.raises(UserError, match=r"^4 measurements failed, see above"):
        running._tell_failures(failing(*rows))
    assert capsys.readouterr().err.splitlines() == [
        "failed: One: a (cost, latent)",
        "failed: Two: a (cost)",
        "failed: One: b (cost)",
    ]
