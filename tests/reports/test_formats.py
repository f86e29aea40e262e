"""A table says the same in every format: Markdown, LaTeX, the page, and the frame of Python."""

import csv
import html
import io
import math
import re
from html.parser import HTMLParser
from itertools import product
from typing import NamedTuple

import pandas as pd
import pytest
from runs import TABLE1, write_run
from runs import table1 as number

from reports.make import main
from reports.tables.build import printed, read


class Cell(NamedTuple):
    """A number as it is printed: its text, the error behind it, whether it is bold, and its note."""

    text: str
    error: str = ""
    best: bool = False
    note: str = ""


def of(system, ssim, mse):
    """The numbers of a system: keyword arguments of each."""
    shared = {"reference": system == "scale", "setting": "", "solver": "", "calls": None}
    both = (("ssim", ssim), ("mse", mse))
    return [number(system, m, **({"value": None} | shared | given)) for m, given in both if given]


PUBLISHED = {"published": 0.991, "published_metric": "ssim", "published_source": "Table 1"}
ELSEWHERE = {"published": 6.07e-5, "published_metric": "mse", "not_comparable": "n 32"}
RECORDS = [
    *of("ours", {"value": 0.9963, "stderr": 0.0003, **PUBLISHED}, {"value": 5.28e-5, "stderr": 2e-6, **ELSEWHERE}),
    *of("plain", {"value": 0.5, "note": "it was clamped"}, {"value": 0.0, "stderr": 0.0}),
    *of("broken", {"note": "it broke"}, {"value": math.inf, "note": "it was clamped"}),
    *of("odd", {"value": math.nan, "stderr": 1e-7}, {"value": 1234.5, "stderr": 0.25}),
    *of("small", {"value": 0.25, "stderr": 1e-7}, None),
    *of("scale", {"value": 0.999, "stderr": 0.25}, {"value": 0.0123, "stderr": 1e-7, "note": "of a scale"}),
]  # fmt: skip
# By docs/numbers.md: four decimals, or a power of ten where they would show one digit or none; as many as the error
# needs for two digits where four would show it as 0.
SSIM, MSE, OURS, THEIRS = "SSIM ↑", "MSE ↓", "published", "published of MSE"
EXPECTED = {
    ("ours", SSIM): Cell("0.9963", "0.0003", best=True),
    ("ours", OURS): Cell("0.991, +0.005"),
    ("ours", MSE): Cell("5.28e-05", "2.0e-06"),
    ("ours", THEIRS): Cell("(6.07e-05)", note="n 32"),
    ("plain", SSIM): Cell("0.5000", note="it was clamped"),
    ("plain", OURS): Cell(""),
    ("plain", MSE): Cell("0.0000", "0.0000", best=True),
    ("broken", SSIM): Cell("n/a", note="it broke"),
    ("broken", MSE): Cell("inf", note="it was clamped"),
    ("odd", SSIM): Cell("nan", "0.00000010"),
    ("odd", MSE): Cell("1,234.5000", "0.2500"),
    ("small", SSIM): Cell("0.25000000", "0.00000010"),
    ("small", MSE): Cell("–"),
    ("scale", SSIM): Cell("0.9990", "0.2500"),
    ("scale", MSE): Cell("0.01230000", "0.00000010", note="of a scale"),
    ("scale", THEIRS): Cell(""),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    main([str(write_run(folder / "run", RECORDS)), "--out", str(folder / "out")])
    return folder


def by_place(rows):
    """The cells of rows by system and column; the second column of published values by its metric."""
    head, *body = rows
    names = [
        THEIRS if name == OURS and i > head.index(OURS) else name for i, name in enumerate(head)
    ]
    return {
        (row[0].text, name): cell
        for row in body
        for name, cell in zip(names[1:], row[1:], strict=True)
    }


def checked(found):
    assert {place: found[place] for place in EXPECTED} == EXPECTED


def test_markdown(made):
    text = (made / f"out/tables/{TABLE1}.md").read_text()
    assert "- published: Table 1\n" in text
    notes = dict(re.findall(r"^(\d+)\. (.*)$", text, re.M))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    def cell(text):
        text, _, mark = text.removesuffix("</sup>").partition("<sup>")
        text = re.sub(r"</?sub>", "", text).strip()
        value, _, error = text.partition(" ± ")
        best = value.startswith("**")
        return Cell(html.unescape(value.strip("*")), error, best, notes[mark] if mark else "")

    checked(by_place([cells[0], *([cell(text) for text in row] for row in cells[2:])]))


class Rows(HTMLParser):
    """The rows and the notes of one table of a page."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.notes, self.within = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.within.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append(
                {"text": "", "error": "", "best": False, "mark": "", **dict(attrs)}
            )
        elif tag == "li":
            self.notes.append("")

    def handle_endtag(self, tag):
        self.within.pop()

    def handle_data(self, data):
        tags = [tag for tag, _ in self.within]
        if "li" in tags:
            self.notes[-1] += data
        if not {"td", "th"} & {*tags}:
            return
        cell, (tag, attrs) = self.rows[-1][-1], self.within[-1]
        cell["best"] |= tag == "strong"
        part = "mark" if tag == "sup" else "error" if "error" in attrs.get("class", "") else "text"
        cell[part] += data


def test_the_page(made):
    """Its cells are sorted by what they show, and open their own details."""
    text = (made / "out/report.html").read_text()
    start = text.index(f'id="t-{TABLE1}"')
    table = Rows(text[start : text.index("</details>", start)])

    def cell(one):
        note = table.notes[int(one["mark"]) - 1] if one["mark"] else ""
        note = note.removeprefix("not to be compared: ")
        return Cell(one["text"].strip(), one["error"].removeprefix("±").strip(), one["best"], note)

    head, *body = table.rows
    found = by_place([[one["text"] for one in head], *([cell(one) for one in row] for row in body)])
    checked(found)
    labels = [one["text"] for one in head]
    (details,) = re.findall(r'"numbers":(\[.*?\])[,}]', text)[:1]
    full = pd.read_json(io.StringIO(details), dtype=False)["in full"]
    known = {(r.system, r.metric): r for r in RECORDS}
    for row in body:
        metric = ""
        for name, one in zip(labels, row, strict=True):
            metric = {SSIM: "ssim", MSE: "mse"}.get(name, metric)
            record = known.get((row[0]["text"], metric))
            value = record and (record.published if name == OURS else record.value)
            if name in (SSIM, MSE, OURS):
                shown = "" if value is None or math.isnan(value) else repr(value)
                assert one.get("data-sort", "") == shown, (row[0]["text"], name)
            if "data-number" in one and record.value is not None:
                assert full[int(one["data-number"])] == repr(record.value)


def test_latex(made):
    text = (made / f"out/latex/{TABLE1}.tex").read_text()
    notes = dict(re.findall(r"^\\textsuperscript\{(\w+)\} (.*)\.\\par$", text, re.M))
    plain = (("{,}", ","), (r"\textendash{}", "–"), (r"{\textuparrow}", "↑"))
    plain += ((r"{\textdownarrow}", "↓"), ("$", ""))

    def unwrapped(text):
        for tex, char in plain:
            text = text.replace(tex, char)
        return re.sub(r" ?\\times 10\^\{(-?\d+)\}", lambda m: f"e{int(m[1]):+03d}", text)

    def cell(text):
        text, _, mark = text.partition(r"\textsuperscript{")
        mark = mark.removesuffix("}")
        value, _, error = text.partition(r" $\pm$ ")
        best = value.startswith(r"\textbf{\boldmath ")
        value = value.removeprefix(r"\textbf{\boldmath ").removesuffix("}" * best)
        return Cell(unwrapped(value), unwrapped(error), best, notes[mark] if mark else "")

    rows = [line.removesuffix(r" \\").split(" & ") for line in text.splitlines() if " & " in line]
    head = [unwrapped(name).strip() for name in rows[0]]
    checked(by_place([head, *([cell(text) for text in row] for row in rows[1:])]))


def test_the_frame(made):
    """Without notes, and with the value's metric in the heading of what was published."""
    (table,) = [t for t in read([made / "run"]).tables if t.name == TABLE1]
    frame = printed(table).set_index("system")
    names = {OURS: f"published, {SSIM}", THEIRS: f"published, {MSE}"}
    for (system, name), cell in EXPECTED.items():
        shown = cell.text.strip("–") + (f" ± {cell.error}" if cell.error else "")
        assert frame.loc[system, names.get(name, name)] == shown, (system, name)


def test_csv(made):
    """Plain numbers to their last digit; none where there is no number."""
    with (made / f"out/tables/{TABLE1}.csv").open(newline="") as file:
        rows = {(row["system"], row["metric"]): row for row in csv.DictReader(file)}
    assert list(rows) == [(r.system, r.metric) for r in sorted(RECORDS, key=_place)]
    for record in RECORDS:
        row = rows[record.system, record.metric]
        for name in ("value", "stderr", "published"):
            number = getattr(record, name)
            absent = number is None or math.isnan(number)
            assert row[name] == "" if absent else float(row[name]) == number
        cell = EXPECTED[record.system, SSIM if record.metric == "ssim" else MSE]
        assert (row["best"], row["note"]) == (str(cell.best), record.note)
        assert row["not_comparable"] == record.not_comparable
        differs = (record.system, record.metric) == ("ours", "ssim")
        assert float(row["difference"]) == 0.9963 - 0.991 if differs else not row["difference"]


def _place(record):
    """In reading order: row by row, as the systems come."""
    return [*dict.fromkeys(r.system for r in RECORDS)].index(record.system)


@pytest.mark.parametrize(
    ("metrics", "heading"),
    [
        (("lpips", "lpips"), "published LPIPS"),
        (("lpips", "mse"), "published"),
        (("", "lpips"), "published"),
        (("", "ssim"), "published"),
    ],
)
def test_the_heading_of_what_was_published_names_another_metric(metrics, heading, tmp_path):
    """If it is that of all the column's values; without a difference, which would mean nothing."""
    given = {"published": 0.75, "published_source": "Table 1"}
    records = [
        number(system, "ssim", 0.5, published_metric=metric, **given)
        for system, metric in zip("AB", metrics, strict=True)
    ]
    main([str(write_run(tmp_path / "run", records)), "--published", "--out", str(tmp_path / "out")])
    lines = (tmp_path / f"out/tables/{TABLE1}.md").read_text().splitlines()
    head, _, *rows = [line.strip("|").split("|") for line in lines if line[:1] == "|"]
    assert [cell.strip() for cell in head][-1] == heading
    differences = ["0.750" if m not in ("", "ssim") else "0.750, -0.250" for m in metrics]
    assert [row[-1].strip() for row in rows] == differences
    (table,) = [t for t in read([tmp_path / "run"], published=True).tables if t.name == TABLE1]
    assert printed(table).columns[-1] == f"{heading}, SSIM ↑"
    page = (tmp_path / "out/report.html").read_text()
    start = page.index(f'id="t-{TABLE1}"')
    found = Rows(page[start : page.index("</details>", start)])
    assert [cell["text"] for cell in found.rows[0]][-1] == heading
    for row, text in zip(found.rows[1:], differences, strict=False):
        assert row[-1]["text"].strip() == text


def test_the_frame_of_several_panels_says_of_which_metric_each_row_is(tmp_path):
    """One panel below the other; a table of one panel has no such column."""
    records = [
        number(system, metric, i / 8, table="table2_ablation", setting="", steps=steps)
        for i, (metric, system, steps) in enumerate(product(("ssim", "mse"), "AB", (10, 20)), 1)
    ]
    records += [number("A", "ssim", 0.5, table=TABLE1, setting="other")]
    tables = {t.name: t for t in read([write_run(tmp_path / "run", records)]).tables}
    frame = printed(tables["table2_ablation"])
    assert (
        frame.columns[0] == "metric" and frame["metric"].tolist() == ["SSIM ↑"] * 2 + ["MSE ↓"] * 2
    )
    cells = [text for row in frame.iloc[:, 2:].to_numpy().tolist() for text in row]
    assert cells == [f"{i / 8:.4f}" for i in range(1, 9)]
    assert printed(tables[TABLE1]).columns[0] != "metric"


def ranked(system, setting, ssim, mse, **more):
    """A system's numbers on 50 images, so that 0.01 of SSIM and 1e-5 of MSE are beyond noise."""
    given = {"setting": setting, "n": 50, "reference": False, "steps": None} | more
    return [
        number(system, "ssim", ssim, stderr=0.001, **given),
        number(system, "mse", mse, stderr=1e-6, **given),
    ]


# Of each group the best and what is within noise of it; of DDIM's and DiffAE's MSE none, for chance may explain the
# difference, though DiffAE's other rows are clearly behind.
COMPARED = [
    *ranked("DiffAE", "x_T inverted", 0.997, 3.58e-5),
    *ranked("DDIM", "x_T inverted", 0.95, 3.61e-5),
    *ranked("DiffAE", "x_T random", 0.801, 2.05e-3),
    *ranked("mine", "", 0.802, 1.04e-3),
    *ranked("other", "", 0.603, 3.03e-3),
    *ranked("scale", "", 0.999, 1.01e-5, reference=True),
]
IN_BOLD = {"0.9970", "0.8010", "0.8020", "0.0010400"}


def test_bold_is_the_same_in_every_format(tmp_path, capsys):
    run, out = write_run(tmp_path / "run", COMPARED), tmp_path / "out"
    main([str(run), "--out", str(out)])
    page = (out / "report.html").read_text()
    start = page.index(f'id="t-{TABLE1}"')
    texts = {
        "page": page[start : page.index("</details>", start)],
        "markdown": (out / f"tables/{TABLE1}.md").read_text(),
        "latex": (out / f"latex/{TABLE1}.tex").read_text(),
    }
    for format in ("markdown", "latex"):
        capsys.readouterr()
        words = ("--table", "reconstruction", "--columns", "ssim,mse", "--format", format)
        main([str(run), *words])
        texts[f"--table, {format}"] = capsys.readouterr().out
    marks = {
        "page": r"<strong class=\"one\">(.*?)</strong>",
        "markdown": r"\*\*([\d.]+)\*\*",
        "latex": r"\\textbf\{\\boldmath (.*?)\}",
    }
    for name, text in texts.items():
        bold = re.findall(marks[name.rpartition(", ")[2]], text)
        assert (set(bold), len(bold)) == (IN_BOLD, 4), name
    with (out / f"tables/{TABLE1}.csv").open(newline="") as file:
        best = {row["value"] for row in csv.DictReader(file) if row["best"] == "True"}
    assert best == {"0.997", "0.801", "0.802", "0.00104"}
    (headline,) = read([run]).headlines
    held = [contest for contests in headline.contests for contest in contests]
    assert {str(r.value) for contest in held for r in contest.bold} == best
    assert "Codes with inverted noise are compared only among themselves." in texts["markdown"]
