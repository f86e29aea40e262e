"""The page of the gate: wording, order, length, and safe names."""

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from runs import KEY, RNG, SSIM, gate_run, make_run
from scipy import stats

from reports import compare as command_line
from reports.gate.junit import junit, junit_of_refusal
from reports.gate.page import Findings, ordered, summary, terminal
from reports.gate.verdicts import MISSING, NOT_COMPARED, VERDICTS, compare
from reports.gate.words import sentence, sentences
from reports.records.estimate import Error, Estimate
from reports.records.metric import Metric
from reports.records.metrics import METRICS
from reports.records.record import HIGHER, NEITHER, Record
from reports.records.run_folder import read_margins

NOISE = RNG.normal(0, 0.001, 200)


def found_between(old: dict, new: dict):
    return compare(make_run(old), make_run(new), read_margins())


def failing(found):
    return [c for c in ordered(found) if c.verdict in ("regression", MISSING)]


def findings(found):
    return Findings(found, failing(found), "base", "new", METRICS)


def pages(found):
    return [make(findings(found)) for make in (terminal, summary)]


@pytest.fixture
def fallen():
    """The gate's verdict on an SSIM that fell by 0.0149 ± 0.0008."""
    (c,) = found_between({KEY: SSIM}, {KEY: SSIM - 0.01})
    record = replace(c.record, steps=100, setting="x_T inverted", solver="ddim")
    return replace(
        c, record=record, base=0.9961, new=0.9812, error=Error(0.0008, 31), p=2.04e-5, loss=0.0149
    )


def test_what_fell_is_a_sentence(fallen):
    assert sentences([fallen]) == (
        "DiffAE: SSIM of reconstruction, x_T inverted, at T = 100 fell from 0.996 to 0.981, by 0.015 ± 0.0008: "
        "more than the margin 0.0005 and more than chance (p = 2e-5)."
    )


@pytest.mark.parametrize(
    ("base", "new", "stderr", "said"),
    [
        (0.1234567890123456, 0.2234567890123456, 0.01, "rose from 0.12 to 0.22, by 0.1 ± 0.01"),
        (251.7134, 277.6021, 3.1415926, "rose from 252 to 278, by 26 ± 3.1"),
        (2.474e-5, 2.495e-5, 4.3e-8, "rose from 2.474e-5 to 2.495e-5, by 2.1e-7 ± 4.3e-8"),
        (12_345_678.0, 12_345_679.0, 0.0, "rose from 12,345,678.0 to 12,345,679.0, by 1"),
        (0.95, math.nan, 0.01, "went from 0.95 to nan: no longer a finite number"),
    ],
)
def test_numbers_have_the_digits_that_show_the_change(fallen, base, new, stderr, said):
    note = "no longer a finite number" if math.isnan(new) else ""
    c = replace(fallen, base=base, new=new, error=Error(stderr, 9), note=note)
    assert said in sentence(c)
    assert not re.search(r"\d[\d.]{9}", sentence(c))


def test_numbers_of_one_metric_are_told_together_by_the_worst():
    old = {("DiffAE", f"a{i}", "auroc"): SSIM for i in range(40)}
    new = {k: v - 0.002 * (int(k[1][1:]) + 1) + NOISE for k, v in old.items()}
    (line,) = findings(found_between(old, new)).failures
    assert line.startswith("DiffAE: AUROC of reconstruction, a39 fell")
    assert line.endswith("The same metric is worse in 39 more cases: a38; a37; a36; 36 more.")


def test_what_is_no_number_any_more_comes_first():
    old = {("A", "", "ssim"): SSIM, ("B", "", "ssim"): 0.9, ("C", "", "ssim"): SSIM}
    new = {("A", "", "ssim"): SSIM - 0.5, ("B", "", "ssim"): 0.1, ("C", "", "ssim"): math.nan}
    assert failing(found_between(old, new))[0].record.system == "C"


def test_no_images_are_missing_where_a_loss_is_excluded():
    """The gain is below the margin and not yet certain: unresolved, and no run is too small for it."""
    values = SSIM + 0.00045 + 0.0014 * np.tile([1, -1], 100)
    found = found_between({KEY: SSIM}, {KEY: values})
    assert [c.verdict for c in found] == ["unresolved"]
    half = found[0].error.quantile(0.975)
    assert half < 0.0005 < 0.00045 + half
    for page in pages(found):
        assert "too small" not in page and "1 unresolved" in " ".join(page.split())


@pytest.mark.parametrize("loss", [-0.004, 0.0, 0.0003, 0.003])
@pytest.mark.parametrize("metric", ["ssim", "pd_effnet", "auroc"])
def test_what_cannot_be_excluded_is_the_end_of_the_interval_of_a_loss(
    metric, loss, tmp_path, capsys, monkeypatch
):
    """Of a number that became better it is half of the interval: the gain is not subtracted."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    sign = -1 if METRICS[metric].direction == HIGHER else 1
    change, key = 0.06 * np.tile([1, -1], 100) + sign * loss, ("DiffAE", "", metric)
    folders = [
        gate_run(tmp_path / name, {key: values})
        for name, values in (("base", SSIM), ("new", SSIM + change))
    ]
    assert command_line.main(list(map(str, folders))) == 0
    page = " ".join(capsys.readouterr().out.split())
    found = re.search(r"a loss of up to (\S+) cannot be excluded \(margin (\S+)\)\. More", page)
    margin = read_margins()[metric].at(SSIM.mean())
    possible = max(loss, 0) + stats.t.ppf(0.975, 199) * stats.sem(change)
    assert found is not None, page
    assert float(found[1]) == pytest.approx(possible, rel=0.05)
    assert float(found[2]) == pytest.approx(margin, rel=0.05)


def test_a_cost_that_moved_below_the_printed_digits_is_no_news():
    size = ("DiffAE", "", "latent_dim")
    for value, is_news in ((512.0 * (1 + 1e-9), False), (256.0, True)):
        for page in pages(found_between({size: 512.0}, {size: value})):
            assert ("latent size" in page.split("<details>")[0]) == is_news


HOSTILE = [
    "::error::x",
    "::stop-commands::x",
    "##[error]x",
    "+ x",
    "# x",
    "- x",
    "1. x",
    "| a | b |",
    "<script>alert(1)</script>",
    "$(touch x) `touch x`",
    "]]>",
    "</details>",
    "\x1b[31m",
    "@everyone",
    "a\nb",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_begins_no_line_of_its_own(text):
    """Whatever words before it push it to the beginning of a line."""
    for words in range(0, 24):
        system = f"{'word ' * words}{text}"
        found = found_between({(system, text, "ssim"): SSIM}, {(system, text, "ssim"): SSIM - 0.1})
        for page in pages(found):
            above = page.split("<details>")[0]
            lines = [line.strip() for line in above.splitlines() if line.strip()]
            items = [line for line in lines if re.match(r"([-+*#>|]|\d+[.)]\s|::|##)", line)]
            assert [line[:2] for line in items] == ["# ", "1."], above
            assert "<script" not in page and "\x1b" not in page and "##[" not in page
            assert page.count("</details>") == page.count("<details>")
        (line,) = findings(found).failures
        assert "\n" not in line


def test_numbers_of_a_plug_in_have_the_digits_that_it_asks_for(fallen):
    record = replace(fallen.record, metric="mine")
    c = replace(fallen, record=record, base=12.3456, new=12.3456, error=Error(0.0, math.inf))
    found = Findings(
        [c], [c], "base", "new", METRICS | {"mine": Metric(HIGHER, "", "", "", digits=1)}
    )
    for page in (terminal(found, everything=True), summary(found)):
        assert "12.3 | 12.3 | 0 |" in re.sub(" +", " ", page)
    assert b"12.3 -&gt; 12.3 (0)" in junit(found)


def test_no_field_is_needed_to_be_sentences(fallen):
    """A number of a plug-in that has neither margin nor error nor setting."""
    record = Record("b", "", "s", "d", "", "", None, "unheard", Estimate(1.0), direction=NEITHER)
    c = replace(fallen, record=record, base=1.0, new=2.0, margin=0.0, error=Error(0.0, math.inf))
    assert sentences([c]) == (
        "s: unheard of b rose from 1.0 to 2.0, by 1: more than the margin 0; the difference has no random error."
    )


COLUMNS = ("verdict", "number", "base", "new", "change", "margin", "p", "")


def table_rows(old, new):
    """The rows of `--all`, by system: what stands under each heading."""
    found = found_between(old, new)
    lines = [line for line in terminal(findings(found), True).splitlines() if line[:1] == "|"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in cells]
    return {row["number"].split(", ")[1]: row for row in rows}


def test_each_row_has_its_own_numbers_and_nothing_where_there_are_none():
    """A verdict without a p has none, nor a margin; the last column says how it was compared."""
    a = np.tile([0.9, 0.8], 100)
    old = {
        ("worse", "", "ssim"): a,
        ("same", "", "ssim"): a,
        ("gone", "", "ssim"): a,
        ("exact", "", "ssim"): 0.5,
    }
    new = {("worse", "", "ssim"): a - 0.1, ("same", "", "ssim"): a, ("gone", "", "ssim"): None,
           ("exact", "", "ssim"): 0.75, ("fresh", "", "ssim"): 0.25}  # fmt: skip
    rows = table_rows(old, new)
    told = {name: tuple(row[c] for c in COLUMNS[2:5]) for name, row in rows.items()}
    assert told == {
        "worse": ("0.85", "0.75", "-0.10"),
        "same": ("0.8500", "0.8500", "0"),
        "gone": ("0.8500", "", ""),
        "exact": ("0.50", "0.75", "+0.25"),
        "fresh": ("", "0.2500", ""),
    }
    verdicts = {name: (row["verdict"], row[""]) for name, row in rows.items()}
    assert verdicts == {
        "worse": ("regression", "paired"),
        "same": ("same", "paired"),
        "gone": ("missing", "no value"),
        "exact": ("improvement", "paired"),
        "fresh": ("new", ""),
    }
    judged = {name for name, row in rows.items() if row["margin"] and row["p"]}
    assert judged == {"worse", "same", "exact"}
    assert not any(row["margin"] or row["p"] for n, row in rows.items() if n not in judged)


def test_rows_of_a_verdict_stand_by_their_p_then_by_the_loss_beyond_the_margin(fallen):
    """Those without a p come last."""
    given = [(0.5, 1.0), (math.nan, 9.0), (0.01, 1.0), (0.5, 2.0), (math.nan, 10.0)]
    found = [replace(fallen, p=p, loss=loss) for p, loss in given]
    assert [found.index(c) for c in ordered(found)] == [2, 3, 0, 4, 1]
    by_verdict = [replace(fallen, verdict=verdict) for verdict in reversed(VERDICTS)]
    assert [c.verdict for c in ordered(by_verdict)] == [*VERDICTS]


@pytest.mark.parametrize("count", [1, 4, 5, 6])
def test_missing_numbers_are_named_by_up_to_four_metrics(fallen, count):
    """Each once, and that there are more."""
    metrics = ["ssim", "mse", "psnr", "lpips", "fid", "kid"][:count]
    missing = [
        replace(fallen, record=replace(fallen.record, metric=m, setting=s), new=None, error=None,
                verdict=MISSING, note="it broke")
        for m in metrics
        for s in ("a", "b")
    ]  # fmt: skip
    named = ", ".join(METRICS[m].label for m in metrics[:4]) + ", ..." * (count > 4)
    expected = f"DiffAE: {2 * count} numbers of reconstruction are missing ({named}): it broke."
    assert sentences(missing) == expected


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_test_case_is_a_failure_if_it_fails_and_skipped_if_it_was_not_compared(fallen, verdict):
    """One suite for each benchmark, whatever the order; what fails says by how much."""
    one, other = (
        replace(fallen, verdict=verdict, note="why", record=replace(fallen.record, benchmark=name))
        for name in ("b", "a")
    )
    found = Findings([one, other, one, fallen], [fallen], "base", "new", METRICS)
    root = ElementTree.fromstring(junit(found))
    suites = [
        (s.get("name"), s.get("tests"), s.get("failures"), s.get("skipped"), s.get("errors"))
        for s in root
    ]
    skipped = verdict == NOT_COMPARED
    assert suites == [
        ("a", "1", "0", str(int(skipped)), "0"),
        ("b", "2", "0", str(2 * skipped), "0"),
        ("reconstruction", "1", "1", "0", "0"),
    ]
    (case,) = root[0]
    assert (case.get("classname"), case.get("name")) == ("a.DiffAE", "x_T inverted, T = 100, ssim")
    assert [(found.tag, found.get("message")) for found in case] == [("skipped", "why")] * skipped
    ((failure,),) = root[2]
    message = "regression: 0.99610 -> 0.98120 (-0.01490 ± 0.00080), margin 0.0005, p 2e-05"
    assert (failure.tag, failure.get("message")) == ("failure", message)


def test_a_comparison_that_could_not_be_made_is_an_error_with_its_reason():
    (suite,) = ElementTree.fromstring(junit_of_refusal("no <file>"))
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("1", "1", "0")
    ((error,),) = suite
    assert (error.tag, error.get("message")) == ("error", "no <file>")
