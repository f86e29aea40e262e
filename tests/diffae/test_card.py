"""Model cards, as the Hub's own library reads them, and the folders that `diffae.convert` makes."""

import json
import shutil

import pytest
from huggingface_hub import ModelCard
from official_files import tiny_state, write_lightning
from refusal import refusal
from runs import change_notes, number, write_run

from benchmarks import run
from diffae import convert
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.checkpoints.packaged import PACKAGED
from reports.records.record import read_records
from reports.tables.build import build_tables, write_tables

PORTRAITS = open_checkpoint("portraits").fingerprint()
RECORDS = [
    number("t", "ssim", 0.98765, stderr=0.00123, setting="a|b", steps=100, n=1500),
    number("t", "mse", 1e-05, stderr=2e-06, setting="a|b", steps=100),
    number("t", "mse", None, note="it broke", setting="c"),
    number("t", "ssim", 0.5, system="DDIM"),
]


def converted(*words) -> ModelCard:
    convert.main(list(map(str, words)))
    return ModelCard.load(words[1] / "README.md")


@pytest.fixture
def measured(tmp_path):
    """A run of portraits and of another model."""
    weights = {"diffae": PORTRAITS, "ddim": "0" * 64}
    folder = write_run(
        tmp_path / "run",
        RECORDS,
        settings={"weights": weights},
        titles={"diffae": "DiffAE", "ddim": "DDIM"},
    )
    write_tables(build_tables(RECORDS), folder / "tables", "title", {})
    return folder


def test_the_hub_reads_the_numbers_of_the_run(measured, tmp_path):
    card = converted("portraits", tmp_path / "mine", "--run", measured)
    assert (card.data.license, card.data.library_name) == ("mit", "diffae-bench")
    assert card.data.datasets == ["portraits"] and card.data.model_name == "mine"
    found = [
        (r.task_type, r.dataset_name, r.dataset_split, r.metric_type, r.metric_value)
        for r in card.data.eval_results
    ]
    kept = [r for r in RECORDS if r.system == "DiffAE" and r.value is not None]
    assert found == [(r.benchmark, r.dataset, r.split, r.metric, r.value) for r in kept]
    assert card.data.eval_results[0].metric_name == "ssim, a|b, T = 100"
    assert r"| a\|b | 100 | ssim | 0.98765 ± 0.0012 | 1500 | p0 |" in card.text
    assert "0.000010000 ± 0.0000020" in card.text and "0.5" not in card.text
    assert "150,268 images" in card.text and "drawn by diffae-bench, MIT licence" in card.text
    assert "z_sem, 256 numbers, and x_T, 3,072 numbers. It has 7,072,931 parameters" in card.text


def test_a_checkpoint_of_ours_is_copied(tmp_path):
    """Its fingerprint is that of the runs that measured it."""
    card = converted("portraits", tmp_path / "mine", "--licence", "cc-by-4.0")
    names = {path.name for path in (PACKAGED / "portraits").iterdir()}
    assert {path.name for path in (tmp_path / "mine").iterdir()} == names | {"README.md"}
    assert open_checkpoint(tmp_path / "mine").fingerprint() == PORTRAITS
    assert card.data.license == "cc-by-4.0" and not card.data.eval_results
    assert "## Licence" not in card.text and "## Results" not in card.text


def test_what_it_was_trained_on_is_said(tmp_path):
    """By training.json; the authors' file says nothing, and its terms are theirs."""
    folder = tmp_path / "trained"
    shutil.copytree(PACKAGED / "portraits-ddim", folder)
    note = json.loads((folder / "training.json").read_text())
    before = note["trained_on"] | {"data": "celeba"}
    note["trained_on"] |= {"data": "holiday", "preset": "mine-ddim", "seed": 3, "before": before}
    note["stages"] = {"baseline": {"precision": "float32", "skipped": 0, "examples": 240_000}}
    (folder / "training.json").write_text(json.dumps(note))
    card = converted(folder, tmp_path / "mine")
    assert card.data.license == "unknown" and card.data.datasets == ["holiday"]
    for words in (
        "data: holiday, split train, 150,268 images\n- terms of the data: not recorded\n",
        "preset mine-ddim, seed 3\n- stage baseline: 240,000 examples\n- started from a model trained on celeba",
        "Unknown: the owner of the weights has to choose one",
        "A DDIM, the baseline",
        'model = DDIM.from_pretrained("hf://OWNER/NAME")',
    ):
        assert words in card.text
    (folder / "training.json").unlink()
    assert "## Training\n\nNot recorded.\n" in converted(folder, tmp_path / "other").text
    theirs = write_lightning(tmp_path / "last.ckpt", tiny_state())
    card = converted(theirs, tmp_path / "authors")
    assert card.data.license == "unknown" and card.data.datasets is None
    assert (
        "the paper's authors (<https://github.com/phizaz/diffae>), and their terms apply"
        in card.text
    )


def test_a_run_that_did_not_measure_the_checkpoint_is_refused(measured, tmp_path, capsys):
    def told(checkpoint="portraits", folder=measured):
        line = refusal(convert.main, capsys, checkpoint, tmp_path / "new", "--run", folder)
        assert not (tmp_path / "new").exists()
        return line

    assert f"--run {measured}: did not measure this checkpoint (SHA-256 " in told("portraits-ddim")
    assert f"{tmp_path / 'no' / 'run.json'}: no such file" in told(folder=tmp_path / "no")
    (measured / "tables/overview.csv").write_text("system,value\nDiffAE,1\n")
    assert f"{measured / 'tables/overview.csv'}: damaged" in told()
    change_notes(measured, complete=False)
    assert f"{measured / 'run.json'}: the run is not complete" in told()
    change_notes(measured, titles=None)
    assert f"{measured / 'run.json'}: not of a run of this version" in told()


@pytest.mark.slow
def test_a_run_becomes_a_card(tmp_path, monkeypatch):
    """By the commands: its numbers are those of records.csv."""
    monkeypatch.chdir(tmp_path)
    words = "--profile smoke --stand-ins --systems diffae,dummy-perfect --ckpt diffae=portraits"
    run.main(["reconstruction", *words.split(), "--out", "run"])
    card = converted("portraits", tmp_path / "mine", "--run", "run")
    values = {r.value for r in read_records(tmp_path / "run/records.csv") if r.system == "DiffAE"}
    found = [result.metric_value for result in card.data.eval_results]
    assert len(found) == 6 and set(found) <= values
