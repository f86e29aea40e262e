"""The page without a browser: its contents, and what cannot get into it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from runs import HARMFUL, SCORES, harmful, number, two_systems, write_run

from reports.page import write
from reports.page.names import name_in
from reports.page.summary import summary
from reports.page.view import sections_of
from reports.records.metrics import METRICS
from reports.records.record import read_records
from reports.tables.build import read
from reports.tables.numbers import metric_label

BASELINE = Path(__file__).parents[3] / "benchmarks/baseline"


class Page(HTMLParser):
    """Elements, attributes and texts of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.size = len(text.encode())
        self.raw: dict[str, list[str]] = {"style": [], "script": []}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in self.raw else ""

    def handle_endtag(self, tag):
        self._in = ""

    def handle_data(self, data):
        (self.raw[self._in] if self._in else self.texts).append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


def page_of(*runs: Path, out: Path) -> Page:
    write(out / "report.html", runs)
    return Page((out / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def baseline(tmp_path_factory) -> Page:
    return page_of(BASELINE, out=tmp_path_factory.mktemp("page"))


def test_every_number_is_on_the_page_to_its_last_digit_or_in_a_file_that_it_names(baseline):
    sorts = {attrs.get("data-sort") for tag, attrs in baseline.elements if tag in ("td", "th")}
    records = [r for r in read_records(BASELINE / "records.csv") if r.value is not None]
    missing = {r.table for r in records if repr(r.value) not in sorts}
    assert missing == {"edits_by_attribute", "section5.3_probe"}
    files = {"tables/edits_by_attribute.csv", "tables/section5.3_probe_attributes.csv"}
    assert files <= set(baseline.texts)
    assert len([r for r in records if r.table not in missing]) > 300


def test_the_page_is_short_and_says_each_legend_once(baseline):
    assert sum(len(text.split()) for text in baseline.texts) <= 12_000
    assert baseline.size <= 1_100_000
    for legend in ("±: one standard error.", "Bold: the best of"):
        assert len([text for text in baseline.texts if text.startswith(legend)]) == 1


def test_a_number_opens_its_interval_and_protocol(baseline):
    numbers = json.loads(baseline.raw["script"][0])["numbers"]
    record = next(r for r in read_records(BASELINE / "records.csv") if r.metric == "ssim")
    found = next(n for n in numbers if n.get("in full") == repr(record.value))
    assert found["95 % interval"] == f"{record.ci_low:.6g} to {record.ci_high:.6g}"
    assert "comparable" not in found, "nothing published is of portraits"
    protocols = json.loads(baseline.raw["script"][0])["protocols"]
    assert {n["protocol"] for n in numbers if "protocol" in n} == set(protocols)
    assert ["benchmark", "reconstruction"] in protocols[found["protocol"]]


def test_what_speaks_against_a_table_stands_under_it(tmp_path):
    notes = {
        "seen_in_training": {"DiffAE": "trained on them", "another": "too"},
        "enlarged": {"images": 3, "of": 50, "size": 64},
        "precision": "bfloat16",
    }
    merged = read([two_systems(tmp_path / "run", SCORES * 0.1, **notes)])
    (section,) = sections_of(merged, {}, [])
    assert section["tables"][0]["warnings"] == [
        "DiffAE: trained on them",
        "3 of 50 images are smaller than 64 px and were enlarged; --smallest 64 leaves them out.",
        "Measured in bfloat16, not in float32.",
    ]


@pytest.mark.parametrize(
    ("metric", "about"),
    [
        ("ssim", "higher is better, from -1 to 1"),
        ("mse", "lower is better, from 0 up"),
        ("latent_dim", "neither direction is better, from 0 up"),
        ("psnr", "higher is better, in dB"),
    ],
)
def test_the_name_of_a_metric_says_what_it_is(metric, about):
    name = name_in(f"mean {metric_label(metric)} ↑", metric, METRICS)
    assert (name.before, name.name, name.after) == ("mean ", metric_label(metric), " ↑")
    assert name.about == f"{METRICS[metric].title}: {about}. More: diffae-bench docs metrics."
    assert name_in("system", metric, METRICS).about == name_in("x", "unknown", METRICS).about == ""


def test_ids_are_unique_and_links_lead_somewhere(baseline):
    ids = [attrs["id"] for _, attrs in baseline.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    inside = [a["href"][1:] for a in baseline.all("a") if a["href"].startswith("#")]
    assert inside and set(inside) <= set(ids)


def test_headings_are_in_order(baseline):
    levels = [int(tag[1]) for tag, _ in baseline.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def test_the_policy_allows_this_style_and_this_script_alone(baseline):
    (policy,) = [attrs["content"] for attrs in baseline.all("meta") if "http-equiv" in attrs]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for kind, text in (
        ("style", "".join(baseline.raw["style"])),
        ("script", baseline.raw["script"][-1]),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert len(baseline.all("style")) == 1 and len(baseline.all("script")) == 2


def test_nothing_is_fetched_and_no_element_has_a_style_or_handler_of_its_own(baseline):
    for tag, attrs in baseline.elements:
        assert not {name for name in attrs if name == "style" or name.startswith("on")}, tag
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            assert re.match(r"#|data:|[\w./-]+$", attrs.get(name, "#")), (tag, attrs)
            assert "//" not in attrs.get(name, "").split(",")[0], (tag, attrs)
    assert not baseline.all("link") and not baseline.all("iframe")


def test_names_that_mean_harm_stay_text(tmp_path):
    page = page_of(harmful(tmp_path / "run"), out=tmp_path)
    assert len(page.all("script")) == 2 and not page.all("b")
    assert [attrs for attrs in page.all("img") if attrs.get("src") == "x"] == []
    text = "".join(page.texts)
    for name in HARMFUL:
        assert text.count(name) > 5
    numbers = json.loads(page.raw["script"][0])["numbers"]
    assert {name for name in HARMFUL if any(name in n["name"] for n in numbers)} == set(HARMFUL)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ({"name": "smoke", "base": "smoke"}, True),
        ({"name": "mine", "base": "smoke"}, True),
        ({"name": "smoke", "base": "quick"}, False),
        ({"name": "quick"}, False),
    ],
)
def test_a_page_of_smoke_says_that_its_numbers_mean_nothing(tmp_path, profile, said):
    """And so does the terminal."""
    run = two_systems(tmp_path / "run", SCORES * 0.1, settings={"profile": profile})
    words = "The profile smoke only shows that everything runs: its numbers mean nothing."
    page, terminal = page_of(run, out=tmp_path).texts, summary(read([run]))
    assert (words in page) == (f"- {words}" in terminal) == said
    assert any("n = 50" in text for text in page) and any("n = 50" in line for line in terminal)


def test_links_name_the_files_that_are_there(tmp_path):
    run = two_systems(tmp_path / "run", SCORES * 0.1)
    (run / "samples.csv").write_text("")
    links = {a["href"] for a in page_of(run, out=run).all("a") if not a["href"].startswith("#")}
    assert links == {"records.csv", "samples.csv", "run.json"}
    assert not [a for a in page_of(run, out=tmp_path).all("a") if a["href"] == "records.csv"]


def test_numbers_without_end_are_drawn_too(tmp_path):
    records = [
        number(
            "table2_ablation", "psnr", value, system=f"s{i}", steps=10 * i, solver="ddim", calls=i
        )
        for i, value in enumerate((float("inf"), float("nan"), -float("inf"), 1e300, 0.0), 1)
    ]
    page = page_of(write_run(tmp_path / "run", records), out=tmp_path)
    sorts = [attrs.get("data-sort") for attrs in page.all("td") if attrs.get("data-number")]
    assert {"inf", "-inf", "1e+300", "0.0", None} <= set(sorts)
