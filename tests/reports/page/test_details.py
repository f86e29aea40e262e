"""The details of a number and of its protocol, as the page's dialog shows them."""

import math

import pytest
from runs import changed, number

from reports.page.view import details, protocols_of
from reports.records.metrics import METRICS
from reports.records.record import HIGHER, NEITHER

FULL = number(
    "table1", "ssim", 0.987654321, stderr=0.0005, df=math.inf,
    setting="x_T inverted", steps=20, solver="ab2-v", calls=1_040, n=12_345, unit="px",
    published=0.991, published_source="Table 1", note="a note",
)  # fmt: skip


def test_a_number_of_which_all_is_known():
    ssim = METRICS["ssim"]
    assert details(FULL, METRICS) == {
        "name": "SSIM: DiffAE, x_T inverted, T = 20 by fast",
        "value": "0.9877 ± 0.0005",
        "in full": "0.987654321",
        "unit": "px",
        "better": HIGHER,
        "95 % interval": "0.986674 to 0.988634",
        "images or units (n)": "12,345",
        "metric": f"{ssim.title} ({ssim.reference})",
        "data": "portraits, test",
        "network calls per image": "1,040",
        "published": "0.991, Table 1",
        "comparable": "yes",
        "note": "a note",
        "protocol": "p0",
    }


ABSENT = None


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"value": 0.0}, "in full", "0.0"),
        ({"value": None}, "in full", ABSENT),
        ({"n": 0}, "images or units (n)", "0"),
        ({"n": None}, "images or units (n)", ABSENT),
        ({"calls": 0}, "network calls per image", "0"),
        ({"calls": None}, "network calls per image", ABSENT),
        ({"direction": NEITHER}, "better", ABSENT),
        ({"value": None}, "95 % interval", ABSENT),
        ({"stderr": None}, "95 % interval", ABSENT),
        ({"value": 0.0, "stderr": 0.0}, "95 % interval", "0 to 0"),
        ({"published": None}, "published", ABSENT),
        ({"published": None}, "comparable", ABSENT),
        ({"published": None, "not_comparable": "n"}, "comparable", ABSENT),
        ({"published": 0.0}, "published", "0.000, Table 1"),
        ({"not_comparable": "another n"}, "comparable", "no: another n"),
        ({"steps": 0, "solver": ""}, "name", "SSIM: DiffAE, x_T inverted, T = 0"),
        ({"steps": None}, "name", "SSIM: DiffAE, x_T inverted"),
        ({"setting": "", "solver": "ddim"}, "name", "SSIM: DiffAE, T = 20"),
        ({"split": ""}, "data", "portraits"),
        ({}, "runs", ABSENT),
        ({"runs": 3, "spread": 0.01, "pooled": True}, "runs", "3, their mean"),
        ({"runs": 3, "spread": 0.01, "pooled": True}, "value", "0.9877 ± 0.0100 [0.0005]"),
    ],
)
def test_each_detail_is_there_where_it_is_known(changes, name, text):
    """0 is known."""
    assert details(changed(FULL, **changes), METRICS).get(name) == text


def test_a_protocol_has_its_fields_by_name_and_nothing_that_is_not_said():
    """Nested ones by their path; 0 and False are said, and long texts are cut."""
    protocol = {
        "b": {"y": 0, "x": {"deep": False}, "none": None}, "a": ["p", 1, 2.5], "seed": 0,
        "empty": "", "left out": None, "list": [], "long": "x" * 5_000,
    }  # fmt: skip
    records = [changed(FULL, protocol=name) for name in ("q", "p", "q", "gone", "")]
    found = protocols_of(records, {"p": {}, "unused": {"a": 1}, "q": protocol})
    assert list(found) == ["q", "p"] and found["p"] == []
    rows = dict(found["q"])
    long = rows.pop("long")
    assert long.endswith("x ...") and len(long) < 5_000
    assert rows == {
        "a": "p, 1, 2.5", "b.x.deep": "False", "b.y": "0", "list": "", "seed": "0",
    }  # fmt: skip
    assert [name for name, _ in found["q"]] == sorted(
        ["a", "b.x.deep", "b.y", "list", "long", "seed"]
    )


def test_a_number_that_stands_for_none_or_all_is_a_word():
    shown = {"codes": {"most": 10**9}, "knn": {"neighbours": 0, "temperature": 0.0}, "guard": 0.2}
    assert dict(protocols_of([FULL], {"p0": shown | {"most": 500, "seed": 0}})["p0"]) == {
        "codes.most": "all", "knn.neighbours": "chosen for each label", "knn.temperature": "none",
        "guard": "0.2", "most": "500", "seed": "0",
    }  # fmt: skip
