"""`reports.make --cite`: the works of a run, each once, and how it was measured in words."""

import re
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from refusal import refusal
from runs import TABLE1, change_notes, measured, table1, write_run

from benchmarks.commands.listing import DATASETS
from benchmarks.systems.registry import OURS
from benchmarks.weights import KNOWN
from diffae.data.factors.reader import WHOLE
from reports.make import main
from reports.records.metrics import METRICS
from reports.tables.cite import HARNESS, keys_of, works

BASELINE = Path(__file__).parents[2] / "benchmarks" / "baseline"
FIELD = re.compile(r"^  (\w+) = \{(.+)\},?$", re.M)


def cited(capsys, *words):
    main([*map(str, words), "--cite"])
    told = capsys.readouterr()
    entries, _, paragraph = told.out.partition(r"\paragraph")
    return re.findall(r"^@\w+\{(\w+),$", entries, re.M), paragraph, told.err


def test_everything_of_the_registries_has_a_work():
    """But metrics: those without one are named by `--cite`."""
    things = [("system", name) for name in OURS]
    things += [("network", row.network) for row in METRICS.values() if row.network]
    things += [("network", name) for name in KNOWN]
    things += [
        ("dataset", name)
        for line in (*DATASETS, *WHOLE)
        for name in line.split(", ")
        if line not in CONTAINERS
    ]
    things += [("solver", name) for name in ("ddim", "ab2-v")]
    assert [thing for thing in things if not keys_of(thing)] == []


# Formats of files, which are no data sets.
CONTAINERS = ("LMDB", "parquet", "WebDataset", "images")


def test_what_a_work_is_cited_for_exists():
    """Data sets are known by their names alone."""
    there = {
        "metric": METRICS,
        "system": {*OURS, "codes"},
        "network": {*KNOWN, *(row.network for row in METRICS.values())},
        "solver": ("ddim", "ab2-v"),
    }
    for work in works():
        assert work.cited_for
        for kind, name in work.cited_for:
            assert kind == "dataset" or name in there[kind], (work.key, kind, name)


@pytest.mark.parametrize("work", works(), ids=lambda work: work.key)
def test_an_entry_is_complete_and_plausible(work):
    """What BibTeX needs; the year is that of the key, and not before that of the arXiv number."""
    fields = dict(FIELD.findall(work.text))
    kind = re.match(r"@(\w+)\{", work.text)[1]
    needed = {
        "inproceedings": {"booktitle"},
        "article": {"journal"},
        "techreport": {"institution"},
        "misc": set(),
    }
    assert fields.keys() >= {"author", "title", "year"} | needed[kind]
    assert work.text.count("{") == work.text.count("}") and work.text.endswith("\n}")
    assert len(work.text.splitlines()) == len(fields) + 2  # no line that is no field
    assert 1900 < int(fields["year"]) <= date.today().year
    if work.key != HARNESS:
        assert re.fullmatch(rf"[a-z]+{fields['year']}[a-z0-9]+", work.key)
        first = re.sub(r"\\[^a-z]|[^a-z]", "", fields["author"].split(",")[0].lower())
        assert work.key[:3] in first or first[:3] in work.key, first
    number = re.search(
        r"(\d\d)(\d\d)\.\d{4,5}$", fields.get("eprint", fields.get("howpublished", ""))
    )
    if number:
        assert 2000 + int(number[1]) <= int(fields["year"]) <= 2000 + int(number[1]) + 2
        assert 1 <= int(number[2]) <= 12


def test_no_work_and_no_key_is_there_twice():
    keys, titles = [w.key for w in works()], [dict(FIELD.findall(w.text))["title"] for w in works()]
    assert len(set(keys)) == len(keys) and len({t.lower() for t in titles}) == len(titles)


def test_the_baseline_cites_what_it_used_and_nothing_else(capsys):
    keys, paragraph, remarks = cited(capsys, BASELINE)
    assert len(set(keys)) == len(keys) and remarks == ""
    assert {
        HARNESS,
        "preechakul2022diffae",
        "song2021ddim",
        "wang2004ssim",
        "tan2019efficientnet",
    } <= {*keys}
    absent = {
        "esser2021vqgan",
        "karras2020stylegan2",
        "szegedy2016inception",
        "liu2015celeba",
        "krizhevsky2014weird",
    }
    assert not absent & {*keys}
    used = set(re.findall(r"[\w]+", " ".join(re.findall(r"\\cite\{(.+?)\}", paragraph))))
    assert used <= {*keys} and {*keys} - used == set()
    assert r"DDIM~\cite{preechakul2022diffae,song2021ddim}" in paragraph
    assert paragraph.count("{") == paragraph.count("}")


def test_the_paragraph_is_of_sentences(capsys):
    """Each with a subject and a verb, also of one table."""
    beginnings = ("We measured", "The images are", "The system", "The benchmark", "Some of these metrics look",
                  "The error after", "Intervals cover")  # fmt: skip
    for words in ((), ("--table", "reconstruction"), ("--table", "probes", "--systems", "diffae")):
        _, paragraph, _ = cited(capsys, BASELINE, *words)
        lines = paragraph.removeprefix("{Evaluation.} ").splitlines()
        assert len(lines) >= 6
        assert all(line.startswith(beginnings) and line.endswith(".") for line in lines), lines


def test_a_table_cites_only_what_it_shows(capsys):
    words = ("--table", "reconstruction", "--systems", "pixels+pca", "--columns", "ssim")
    keys, paragraph, _ = cited(capsys, BASELINE, *words)
    assert keys == [HARNESS, "wang2004ssim"]
    assert "The system is pixels + PCA." in paragraph and "split test." in paragraph
    for absent in ("DDIM", "efficientnet", "T = ", "probes", "pd"):
        assert absent not in paragraph
    keys, paragraph, _ = cited(capsys, BASELINE, "--table", "reconstruction")
    assert {"zhang2018lpips", "tan2019efficientnet", "song2021ddim"} <= {*keys}
    assert not {"hanley1982auroc", "heusel2017fid"} & {*keys}


def test_a_small_run_cites_its_metric_data_and_system(tmp_path, capsys):
    record = measured(
        table1("VQ-GAN", "rfid", None, dataset="ffhq-128", solver=""),
        np.arange(9.0),
    )
    settings = {"systems": ["vqgan"], "seed": 3, "suite": {"name": "mine-v1", "sha256": "ab" * 32}}
    keys, paragraph, remarks = cited(
        capsys, write_run(tmp_path / "run", [record], settings=settings)
    )
    assert keys == [HARNESS, "esser2021vqgan", "heusel2017fid", "karras2019stylegan", "szegedy2016inception",
                    "seitzer2020pytorchfid"]  # fmt: skip
    assert (
        remarks == ""
        and "independent units (images)" in paragraph
        and "suite mine-v1 (abababababab), seed 3" in paragraph
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [("celeba-hq-subset", "karras2018progressive"), ("celeba", "liu2015celeba"), ("imagenet-val", "russakovsky2015imagenet"),
     ("coco-val2017", "lin2014coco"), ("FFHQ 128", "karras2019stylegan"), ("lsun-horse", "yu2015lsun")],
)  # fmt: skip
def test_a_data_set_is_known_by_the_longest_name_that_it_begins_with(name, key):
    assert key in keys_of(("dataset", name))
    assert "liu2015celeba" not in keys_of(("dataset", "celebamine"))
    assert keys_of(("dataset", "cocoa-beans")) == []


def test_what_no_work_is_known_for_is_said(tmp_path, capsys):
    records = [
        table1("Mine", "ssim", 0.5, dataset="my $photos", table=TABLE1),
        table1("Mine", "mine", 0.5),
    ]
    run = write_run(tmp_path / "run", records, settings={"systems": ["my_vae:MyVAE"]})
    _, paragraph, remarks = cited(capsys, run)
    assert [line.split(": no work")[0] for line in remarks.splitlines()] == [
        "note: system my_vae", "note: dataset my $photos", "note: metric mine",
    ]  # fmt: skip
    assert r"my \$photos" in paragraph


def test_a_system_without_a_number_is_not_cited(tmp_path, capsys):
    settings = {"systems": ["vqgan", "nvae"], "seed": 0}
    run = write_run(
        tmp_path / "run",
        [table1("VQ-GAN", "ssim", 0.5), table1("NVAE", "ssim", None)],
        settings=settings,
    )
    change_notes(run, titles={"vqgan": "VQ-GAN", "nvae": "NVAE", "VQ": "VQ"})
    keys, paragraph, _ = cited(capsys, run)
    assert "The system is VQ-GAN" in paragraph  # its own title, not one that it begins with
    assert "esser2021vqgan" in keys and "vahdat2020nvae" not in keys and "NVAE" not in paragraph


def test_citations_are_written_over_their_own_file_alone(tmp_path, capsys):
    out = tmp_path / "refs.bib"
    for _ in range(2):
        main([str(BASELINE), "--cite", "--out", str(out)])
    before = out.read_text()
    out.write_text("@misc{mine}\n")
    assert f"--out {out}: exists" in refusal(main, capsys, BASELINE, "--cite", "--out", out)
    assert out.read_text() == "@misc{mine}\n" != before
