"""The tables of an explanation, in which protocols that print alike share a line."""

import csv
import io
import json

from reports.page import protocols
from reports.page.protocols import Line, Section

ALIKE = Line(("a", "b"), 30.001, 0.2, 0.0011, (("range 2", 0.0011),), 3)
EACH = (
    Line(("a",), 30.001, 0.2, 0.0011, (("range 2", 0.0011),), 3),
    Line(("b",), 30.002, 0.3, 0.0021, (("range 4", 0.0021),), 5),
)


def test_a_row_of_the_csv_has_the_numbers_of_its_own_protocol():
    alone = Line(("c",), 31.0, None, None, ())
    lines = (alone, Line(*list(vars(ALIKE).values())[:-1], EACH))
    section = Section("psnr", 40, lines, ((("d", "e"), "its weights are missing"),))
    rows = {row["protocol"]: row for row in csv.DictReader(io.StringIO(protocols.table([section])))}
    assert list(rows) == ["c", "a", "b", "d", "e"]
    for one in (alone, *EACH):
        row = rows[one.protocols[0]]
        assert (row["metric"], row["n"], row["left_out"]) == ("psnr", "40", str(one.left_out))
        numbers = (one.value, one.stderr, one.difference)
        written = [json.loads(row[name] or "null") for name in ("value", "stderr", "difference")]
        assert tuple(written) == numbers
        assert row["causes"] == section.causes(one) and not row["not_computed"]
    for name in "de":
        told = {
            "metric": "psnr",
            "protocol": name,
            "n": "40",
            "not_computed": "its weights are missing",
        }
        assert rows[name] == dict.fromkeys(protocols.COLUMNS, "") | told


def test_causes_are_told_with_their_part_or_that_it_is_not_known():
    """A part of 0 has no number; a cause alone is the whole difference."""
    section = Section("ssim", 40, (ALIKE,))
    several = (("one", 0.12345), ("two", -0.00067891), ("three", None), ("four", 0.0))
    line = Line(("a",), 0.5, None, 0.1, several)
    assert section.causes(line) == "one: +0.123; two: -0.000679; three: not known; four"
    assert section.causes(Line(("a",), 0.5, None, 0.1, several[2:3])) == "three"
    for difference, text in ((None, ""), (0.0, ""), (1234.5, "+1230"), (-1.5e-7, "-0.00000015")):
        assert section.signed(difference) == text
