"""Systems that fail anywhere are rows with the reason beside the numbers of the others; a run without a
number says why and ends with status 2.
"""

import sys
from functools import partial
from pathlib import Path

import in_process
import pytest
import torch

from benchmarks import evaluate
from benchmarks.run import main
from diffae.system.errors import UserError
from reports.records.record import read_records

command = partial(in_process.command, main)
TASK, FEW = "reconstruction", {"limit": 4}


class Blocks:
    """A model of a user: its code is the image at 4 px."""

    image_size = 32

    def encode(self, images):
        return torch.nn.functional.avg_pool2d(images, 8)

    def decode(self, code):
        return code.repeat_interleave(8, 2).repeat_interleave(8, 3)


def changing(method, change):
    """A model whose method returns what `change` makes of the right result."""
    return type(
        "Bad", (Blocks,), {method: lambda self, x: change(getattr(Blocks, method)(self, x))}
    )()


def of_one(code):
    if len(code) > 1:
        raise RuntimeError("one at a time")
    return code


def unreadable(self):
    raise RuntimeError("not yet known")


BAD = {
    "nan images": (changing("decode", lambda x: x * float("nan")), "3,072 of 3,072 values not finite"),
    "nan codes": (changing("encode", lambda z: z * float("nan")), "48 of 48 values not finite"),
    "shape": (changing("decode", lambda x: x[:, :, :16]), "returned 1 x 3 x 16 x 32, not 1 x 3 x 32"),
    "dtype of images": (changing("decode", lambda x: x > 0), "returned bool, not floating point"),
    "dtype of codes": (changing("encode", lambda z: z > 0), "encode gave torch.bool"),
    "complex": (changing("encode", lambda z: z + 0j), "encode gave torch.complex64"),
    "tokens": (changing("encode", lambda z: z.long()), "say how many there are"),
    "kind": (changing("encode", lambda z: "a code"), "gave str; a code is"),
    "in the trial": (changing("encode", of_one), "raised RuntimeError: one at a time"),
    "range": (changing("decode", lambda x: (x + 1) / 2), "they seem to be in [0, 1]"),
    "no size": (type("Bad", (Blocks,), {"image_size": property(unreadable)})(), "not yet known"),
}  # fmt: skip


@pytest.fixture(scope="module")
def beside(patches):
    """The results of all bad models beside a good one."""
    models = {title: model for title, (model, _) in BAD.items()} | {"good": Blocks()}
    return evaluate(models, TASK, patches, "smoke", **FEW)


@pytest.mark.parametrize("title", BAD)
def test_a_bad_model_is_a_row_with_the_reason(beside, title):
    (row,) = [row for row in beside.rows if row.system == title]
    assert row.value is None and row.failed and row in beside.failures
    assert BAD[title][1] in row.note


def test_the_others_have_the_numbers_that_they_have_alone(beside, patches):
    alone = evaluate({"good": Blocks()}, TASK, patches, "smoke", **FEW)
    assert not alone.failures and alone.run.has_measured
    numbers = [row for row in alone.rows if row.value is not None]
    assert numbers == [row for row in beside.rows if row.value is not None] != []


def test_what_is_no_model_ends_the_call_before_anything_is_measured(patches):
    for wrong in ("difae", "nowhere/model.ckpt", Blocks, 3):
        with pytest.raises(UserError):
            evaluate({"wrong": wrong, "good": Blocks()}, TASK, patches, "smoke")
    bad = {title: BAD[title][0] for title in ("shape", "kind")}
    with pytest.raises(UserError, match=r"1 x 3 x 16 x 32, not .*; .*gave str; a code is"):
        evaluate(bad, TASK, patches, "smoke")
    with pytest.raises(UserError, match="title Bad is listed 2 times; give a dictionary"):
        evaluate([*bad.values(), Blocks()], TASK, patches, "smoke")


MODULE = """
import torch
from benchmarks.systems import System
from dummies import Perfect

class NaN(Perfect):
    name = title = "nan"
    def decode(self, code, steps=100):
        return super().decode(code, steps) * float("nan")

class Unmade(Perfect):
    def __init__(self, path, device):
        raise RuntimeError("no weights")
"""


def test_the_command_measures_the_others(patches, tmp_path, monkeypatch):
    (tmp_path / "bad_systems.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    names = ("NaN", "Unmade")
    out, given = tmp_path / "run", ",".join(f"bad_systems:{name}" for name in names)
    words = ("--data", patches.root, "--profile", "smoke", "--limit", 4, "--out", out)
    ended = command(TASK, "--systems", f"{given},dummy-perfect", *words, cache=tmp_path)
    sys.modules.pop("bad_systems")
    assert ended.returncode == 2
    assert f"error: 2 measurements failed, see above; the others are in {out}" in ended.stderr
    records = read_records(out / "records.csv")
    (ssim,) = [r for r in records if r.system == "dummy: perfect" and r.metric == "ssim"]
    assert ssim.value == pytest.approx(1)
    notes = {r.system: r.note for r in records if r.system != "dummy: perfect"}
    words = {"nan": "not finite", "bad_systems:Unmade": "no weights"}
    assert notes.keys() == words.keys()
    assert all(words[system] in note for system, note in notes.items())


# ----------------------------------------------------------------------------------------------
# Nothing is measured

REASON = "patches0 has no attributes"


def test_the_reason_why_nothing_was_measured_is_among_the_failures(patches):
    nothing = evaluate(Blocks(), "probes", patches, "smoke")
    (row,) = nothing.failures
    assert (row.note, row.failed, nothing.run.has_measured) == (REASON, False, False)
    some = evaluate(Blocks(), ["probes", TASK], patches, "smoke", **FEW)
    assert some.run.has_measured and not some.failures
    assert REASON in [row.note for row in some.rows]


def test_a_reference_counts_only_where_it_is_a_system_of_the_run(patches):
    found = evaluate("pixels-pca", TASK, patches, "smoke", **FEW)
    assert found.run.has_measured and {row.reference for row in found.rows} == {True}
    found.run.notes["titles"] = {}  # then its rows are like those of chance
    assert not found.run.has_measured


def test_the_command_says_why_nothing_was_measured_and_ends_with_status_2(patches, tmp_path):
    words = ("--systems", "dummy-perfect", "--data", patches.root, "--profile", "smoke")
    out = tmp_path / "none"
    ended = command("probes", *words, "--out", out, cache=tmp_path)
    assert ended.returncode == 2
    *_, why, error = ended.stderr.splitlines()
    assert why == f"not measured: all systems: {REASON} (probes)"
    assert error == f"error: nothing was measured, see above; {out} has the reasons too"
    assert (
        f"<li>all systems could not run in probes: {REASON}</li>"
        in Path(out / "report.html").read_text()
    )
    some = command("probes", TASK, *words, "--out", tmp_path / "some", cache=tmp_path)
    assert some.returncode == 0 and REASON in (tmp_path / "some" / "records.csv").read_text()
    assert "What failed" not in Path(tmp_path / "some" / "report.html").read_text()
