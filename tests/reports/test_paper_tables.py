"""`reports.make --table`: one tabular for a paper, from runs with known numbers and influences."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from refusal import refusal
from runs import PROTOCOL, SETTINGS, measured, write_run
from runs import table1 as number

from reports.make import main
from reports.tables.paper import FORMATS

BASELINE = Path(__file__).parents[2] / "benchmarks" / "baseline"
rng = np.random.default_rng(0)
HARD = rng.normal(0.9, 0.05, 60)  # the score of each image: differences between images are large
FINE = rng.normal(0, 0.001, 60)
# SSIM by system: B is beyond noise behind A only in pairs, C is within noise of B, D is A again.
SCORES = {"A": HARD, "B": HARD - 0.002 + FINE, "C": HARD - 0.002 - FINE, "D": HARD}


def run_of(folder, scores, more=(), **changes):
    """A run of the SSIM of these systems."""
    records = [measured(number(name, "ssim", None, n=60), x) for name, x in scores.items()]
    return write_run(folder, [*records, *more], **changes)


def made(capsys, *words):
    """What the command prints: its text, and its remarks."""
    main([str(word) for word in words])
    return capsys.readouterr()


def table(capsys, *words):
    """The rows of a table in Markdown, each as cells."""
    text = made(capsys, *words, "--format", "markdown").out
    return [
        [c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if "|" in line
    ]


def bold(capsys, run, *words):
    _, _, *rows = table(capsys, run, "--table", "reconstruction", *words)
    return [row[0] for row in rows if any("**" in cell for cell in row)]


def tabular(text):
    """The heads and rows of the only tabular in a text of LaTeX, checked by its own columns."""
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
    assert "table*" not in text and "resizebox" not in text
    columns = re.search(r"\\begin\{tabular\}\{@\{\}([lr]+)@\{\}\}", text)[1]
    rules = [line for line in text.splitlines() if re.fullmatch(r"\\(top|mid|bottom)rule", line)]
    assert rules == [r"\toprule", r"\midrule", r"\bottomrule"]
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    cells = [re.split(r"(?<!\\) & ", line.removesuffix(r" \\")) for line in lines]
    assert {len(row) for row in cells} == {len(columns)}
    return cells


def test_rows_by_class_or_by_t_compete_within_one(tmp_path, capsys):
    """As in the tables of a report, where classes are rows and systems columns, or T are columns."""
    values = {("A", "binary/Male"): 5.0, ("B", "binary/Male"): 9.0}
    values |= {("A", "binary/Blond"): 90.0, ("B", "binary/Blond"): 50.0}
    about = {"table": "table3_fewshot_fid", "benchmark": "fewshot", "stderr": 0.1}
    rows = [number(s, "fid", v, setting=c, **about) for (s, c), v in values.items()]
    ablation = {"table": "table2_ablation", "stderr": 0.001}
    rows += [
        number(s, "ssim", v + t / 1000, steps=t, **ablation)
        for s, v in (("A", 0.5), ("B", 0.4))
        for t in (10, 20)
    ]
    run = write_run(tmp_path / "run", rows)
    _, _, *found = table(capsys, run, "--table", "fewshot")
    assert [row[:2] for row in found if "**" in row[2]] == [
        ["A", "binary/Male"],
        ["B", "binary/Blond"],
    ]
    _, _, *found = table(capsys, run, "--table", "table2_ablation", "--columns", "ssim")
    assert [row[:2] for row in found if "**" in row[2]] == [["A", "10"], ["A", "20"]]


def test_a_reference_is_shown_and_never_bold(tmp_path, capsys):
    best = number("pixels + PCA", "ssim", 0.999, stderr=1e-4, reference=True)
    run = run_of(tmp_path / "run", {"A": SCORES["A"], "B": SCORES["B"]}, more=[best])
    rows = table(capsys, run, "--table", "reconstruction")
    assert [row[0] for row in rows[2:]] == ["A", "B", "pixels + PCA"]
    assert bold(capsys, run) == ["A"]


def test_errors_in_csv_are_plain(tmp_path, capsys):
    """Of two seeds: the deviation between them, 707.1."""
    folders = [
        write_run(
            tmp_path / f"s{seed}",
            [number("A", "ppl_effnet", value, stderr=1234.0, protocol=f"p{seed}")],
            settings=SETTINGS | {"seed": seed},
            protocols={f"p{seed}": PROTOCOL | {"seed": seed}},
        )
        for seed, value in enumerate((10_000.0, 11_000.0))
    ]
    words = (*folders, "--table", "table1_reconstruction", "--format", "csv", "--errors")
    words += ("--columns", "ppl_effnet")
    head, row = csv.reader(io.StringIO(made(capsys, *words).out))
    assert head[-1].startswith("± ") and row[-2:] == ["10500.00", "707.11"]


def test_a_table_of_the_baseline_is_one_tabular(capsys):
    words = (BASELINE, "--table", "reconstruction", "--errors")
    heads, *rows = tabular(made(capsys, *words).out)
    assert heads[:3] == ["system", "setting", r"SSIM {\textuparrow}"]
    assert [row[0] for row in rows] == ["DiffAE", "DiffAE", "DDIM", "pixels + PCA"]
    assert rows[0][1] == "x\\_T inverted" and r"$\pm$" in rows[0][2]
    _, *rows = tabular(made(capsys, *words[:3]).out)  # errors on demand
    assert r"\pm" not in str(rows)


@pytest.mark.parametrize(
    "name", ["table2_ablation", "table3_fewshot_fid", "edits_by_attribute", "probes"]
)
def test_every_table_is_one_tabular_without_an_empty_column(name, capsys):
    """Tables of several panels, and those whose columns are settings or systems."""
    _, *rows = tabular(made(capsys, BASELINE, "--table", name).out)
    assert len(rows) > 3
    for column in list(zip(*rows, strict=True))[1:]:
        assert any(re.search(r"\d|[a-z]", cell) for cell in column)


def test_rows_and_columns_come_in_the_order_asked_for(tmp_path, capsys):
    metrics = {"pd_effnet": 0.1, "ssim": 0.9, "psnr": 30.0, "lpips": 0.2}
    values = [number(s, m, v) for s in ("DiffAE", "VQ-GAN") for m, v in metrics.items()]
    run = write_run(tmp_path / "run", values)
    words = (run, "--table", "table1_reconstruction", "--systems", "vqgan,diffae")
    header, _, *rows = table(capsys, *words, "--columns", "lpips,ssim,pd_effnet")
    assert header == ["system", "LPIPS ↓", "SSIM ↑", "pd_effnet ↓"]
    assert [row[0] for row in rows] == ["VQ-GAN", "DiffAE"]
    assert rows[0][1:] == ["0.2000", "0.9000", "0.1000"]


def test_what_has_no_number_is_left_out_and_said(capsys):
    words = (BASELINE, "--table", "reconstruction", "--columns", "ssim,lpips,ms_ssim,pd_effnet")
    told = made(capsys, *words, "--format", "markdown")
    assert "n/a" not in told.out and "LPIPS" not in told.out and "pd_effnet" in told.out
    assert "note: lpips is left out: pd_effnet was measured\n" in told.err
    assert "note: ms_ssim is left out: MS-SSIM needs images of 161 px" in told.err
    assert "note: random encoder is left out: random encoder cannot decode" in told.err


def test_a_csv_file_has_plain_numbers(capsys):
    words = (
        BASELINE,
        "--table",
        "reconstruction",
        "--columns",
        "ssim,latent_dim",
        "--format",
        "csv",
    )
    header, *rows = csv.reader(io.StringIO(made(capsys, *words, "--errors").out))
    assert len(set(header)) == len(header) == len(rows[0])
    row = dict(zip(header, rows[0], strict=True))
    assert row["diffae-bench table"] == "table1_reconstruction" and row["system"] == "DiffAE"
    assert row["latent size"] == "3328"
    assert 0 < float(row["± SSIM ↑"]) < 0.01 < float(row["SSIM ↑"])


def test_names_of_others_stay_text_in_every_format(tmp_path, capsys):
    harmful = r"=1+1 & \input{x} --> _|"
    run = write_run(tmp_path / "run", [number(harmful, "ssim", 0.5), number("B", "ssim", 0.4)])
    words = (run, "--table", "reconstruction")
    assert r"\&" in tabular(made(capsys, *words).out)[1][0]
    text = made(capsys, *words, "--format", "markdown").out
    assert text.splitlines()[0].count("-->") == 1 and r"\|" in text
    rows = list(csv.reader(io.StringIO(made(capsys, *words, "--format", "csv").out)))
    assert rows[1][1] == "'" + harmful


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--table", "recontruction"), "--table: no recontruction; did you mean reconstruction?"),
        (("--table", "reconstruction", "--columns", "sim"), "--columns: no sim; did you mean ssim?"),
        (("--table", "reconstruction", "--systems", "DifAE"), "--systems: no DifAE; did you mean DiffAE?"),
        (("--table", "reconstruction", "--columns", "lpips"), "lpips is left out: pd_effnet was measured"),
        (("--cite", "--table", "x"), "--table: no x"),
        (("--cite", "--table", "x", "--errors"), "--errors: not with --cite"),
        (("--check", "--cite"), "--cite: not with --check"),
        (("--table", "x", "--published"), "--published: not with --table"),
        (("--check", "--out", "x"), "--out: not with --check"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_line_with_a_suggestion(words, said, capsys):
    assert said in refusal(main, capsys, BASELINE, *words)


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_written_again_and_never_over_one_of_others(format, tmp_path, capsys):
    run, out = run_of(tmp_path / "run", SCORES), tmp_path / "table"
    words = (run, "--table", "reconstruction", "--format", format, "--out", out)
    for _ in range(2):
        made(capsys, *words)
        assert out.read_text() == made(capsys, *words[:-2]).out
    for theirs in ("a page of somebody's\n", "\\begin{tabular}{l}\n", "system,SSIM\n"):
        out.write_text(theirs)
        line = refusal(main, capsys, *words)
        assert f"--out {out}: exists and would be overwritten" in line and out.read_text() == theirs
    assert "is inside" in refusal(main, capsys, *words[:-1], run / "table")


def test_of_several_runs_systems_have_the_names_of_their_runs(tmp_path, capsys):
    a = run_of(tmp_path / "a", {"A": SCORES["A"]})
    b = run_of(
        tmp_path / "b", {"A": SCORES["B"]}, settings={"data": "portraits", "seed": 0, "note": 1}
    )
    rows = table(capsys, f"one={a}", f"two={b}", "--table", "reconstruction")
    assert [row[0] for row in rows[2:]] == ["A (one)", "A (two)"]
