"""LaTeX: names of systems are escaped, and the text is read back from the PDF."""

import re
import subprocess
from pathlib import Path

import pytest
from programs import program
from runs import table1 as number

from benchmarks.core.registry import REGISTRY, specs
from reports.tables import latex
from reports.tables.build import build_tables, read
from reports.tables.latex import escape
from reports.tables.latex import number as number_text

BASELINE = Path(__file__).parents[2] / "benchmarks" / "baseline"
SPECS = specs(REGISTRY.own)
# A name, and its text in the PDF.
NASTY = {
    r"\input{/etc/passwd}": r"\input{/etc/passwd}",
    "50%": "50%",
    "a_b_c": "a_b_c",
    "$HOME$": "$HOME$",
    "R&D #1": "R&D #1",
    "{x}": "{x}",
    "~tilde^2": "~tilde^2",
    "=1+1": "=1+1",
    "[2ex] bracket": "[2ex] bracket",
    "*star": "*star",
    "a--b": "a--b",
    "<script>|x|": "<script>|x|",
    "Müller": "Müller",
    r"^^5cinput": "^^5cinput",
    "人": "[U+4EBA]",
}


def tables(records):
    return {table.name: table for table in build_tables(list(records), SPECS)}


PAPER = r"""\documentclass[twocolumn]{article}\usepackage{booktabs,graphicx}FONTS
\begin{document}\input{t.tex}\end{document}"""
FONTS = r"\usepackage[T1]{fontenc}\usepackage{lmodern}"  # with them the PDF's text can be read back


def pdf_text(folder, page, fonts=FONTS, fits=True):
    """The text of the PDF of a paper in two columns that has this table."""
    (folder / "t.tex").write_text(page)
    (folder / "tables.tex").write_text(PAPER.replace("FONTS", fonts))
    compiler, reader = program("pdflatex"), program("pdftotext")
    done = subprocess.run(
        [compiler, "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert not fits or ("Overfull" not in done.stdout and "too large" not in done.stdout)
    read = [reader, "-layout", folder / "tables.pdf", "-"]
    return subprocess.run(read, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        (r"\input{x}", r"{\textbackslash}input\{x\}"),
        ("100% of $5 & #1", r"100\% of \$5 \& \#1"),
        ("a_b^c~d", r"a\_b{\textasciicircum}c{\textasciitilde}d"),
        ("=1", "=1"),
        ("[1] *", "{[}1{]} {*}"),
        ("a---b", "a-{}-{}-b"),
        ("two\nlines\t here", "two lines here"),
        ("é ï ß", r"\'e {\"\i} {\ss}"),
        ("e\u0301", r"\'e"),
        ("a|b", r"a{\textbar}b"),
        ("\x00人", "{[}U+0000{]}{[}U+4EBA{]}"),
    ],
)
def test_text_means_nothing_but_itself(text, tex):
    assert escape(text) == tex


def test_numbers_have_a_minus_and_powers_of_ten():
    assert number_text("-0.5") == "$-0.5$"
    assert number_text("5.28e-05") == r"$5.28 \times 10^{-5}$"
    assert number_text("-1,234.5") == "$-1{,}234.5$"
    assert number_text("-0.1 ± 0.02") == r"$-0.1$ \ensuremath{\pm} 0.02"
    assert number_text("-1 to 2") == "$-1$ to 2" and number_text("a to -2") == "a to -2"
    assert (number_text("0.95"), number_text("n/a_1")) == ("0.95", r"n/a\_1")


def test_a_comment_stays_on_its_line():
    page = latex.render(
        tables([number("A", "ssim", 0.5)])["table1_reconstruction"], "x\n\\bad", {"run": "a\r\\b"}
    )
    head = page.split("\\begin{table*}")[0].splitlines()
    assert all(not line or line.startswith("% ") for line in head) and "% run: a \\b" in head


def test_any_name_stands_on_paper_as_it_is(tmp_path):
    records = [number(name, "ssim", 0.5 + i / 100) for i, name in enumerate(NASTY)]
    records.append(number("none", "ssim", None, note="no file: 100%_{\\bad}"))
    table = tables(records)["table1_reconstruction"]
    page = latex.render(table, "x\n\\bad", {"run": "a\n\\input{b}"})
    pdf_text(tmp_path, page, fonts="")  # the old encoding takes it, too
    text = pdf_text(tmp_path, page)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for i, (name, printed) in enumerate(NASTY.items()):
        assert any(line.startswith(printed) and line.endswith(f"0.{50 + i}00") for line in lines), (
            name
        )
    assert "no file: 100%_{\\bad}." in text


def test_every_table_of_the_baseline_compiles(tmp_path):
    """Real tables: 40 attributes, three metrics, notes, published values."""
    pages = [latex.render(table, "", {}) for table in read([BASELINE]).tables]
    (attributes,) = [page for page in pages if r"\label{tab:section5.3_probe_attributes}" in page]
    assert attributes.count(r"Wavy\_Hair &") == attributes.count(r"\begin{table*}") == 3
    assert "Wavy_Hair" in pdf_text(tmp_path, "\\clearpage\n".join(pages), fits=False)


def test_a_table_longer_and_wider_than_a_page_is_scaled_to_it(tmp_path):
    records = [
        number(f"System {i}", metric, 0.1 + i / 1000, stderr=0.01, note=f"a note on {i % 3}")
        for i in range(150)
        for metric in ("ssim", "ms_ssim", "psnr", "mse", "pd_effnet", "rkd_effnet", "rfd_effnet")
    ]
    page = latex.render(tables(records)["table1_reconstruction"], "", {})
    assert [int(i) for i in re.findall(r"^System (\d+) &", page, re.M)] == list(range(150))
    text = pdf_text(tmp_path, page)
    assert len(re.findall(r"System \d+ ", text)) == 150


@pytest.mark.parametrize(
    "value", [5e-324, 1.7e308, -1e-300, float("inf"), float("-inf"), float("nan")]
)
def test_any_number_is_written(value):
    records = [
        number("A", "mse", value, stderr=1e149, published=value),
        number("B", "mse", value, stderr=5e-324),
    ]
    assert "A &" in latex.render(tables(records)["table1_reconstruction"], "", {})
