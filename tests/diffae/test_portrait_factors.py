"""Factors of portraits: what is labelled is what is drawn, and independent where that is asked for."""

import csv
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from refusal import refusal

from diffae.data import open_dataset, open_portraits
from diffae.data.__main__ import main
from diffae.data.portraits import portrait, render, to_svg
from diffae.data.portraits.attributes import ATTRIBUTES, FACTORS, SIGNED, independent
from diffae.data.portraits.write import planned

# Mean absolute difference at 32 px, in grey levels of 255, between the ends of a factor at least.
VISIBLE = 0.3


def table(folder):
    with open(folder / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


def written(folder, *words):
    main(["portraits", "--out", str(folder), "--size", "32", *words])
    return folder


def number(pattern, svg):
    return float(re.search(pattern, svg)[1])


def test_factors_are_those_of_the_drawing():
    """Of the picture's place, turn and scale, and of the side and strength of its light."""
    for index in range(40):
        found, svg = portrait(3, index).factors, to_svg(portrait(3, index))
        assert number(r"rotate\((\S+) ", svg) == pytest.approx(10 * found["turn"], abs=0.006)
        assert number(r"translate\((\S+) ", svg) == pytest.approx(11 * found["shift_x"], abs=0.006)
        assert number(r"scale\((\S+)\)", svg) == pytest.approx(
            1.13 + 0.09 * found["scale"], abs=0.001
        )
        lit = number(r'#fff4e0" stop-opacity="([.\d]+)"', svg)
        assert lit == pytest.approx(0.10 + 0.28 * abs(found["light"]), abs=0.006)
        assert (found["light"] < 0) == ('id="light" x1="0"' in svg)


def at(index, name, value):
    """A portrait with one factor changed, as a picture."""
    one = portrait(1, index)
    changed = {name: value} | ({"light_strength": 1.0} if name == "light" else {})
    part = "look" if name in one.look._fields else "scene"
    return render(replace(one, **{part: getattr(one, part)._replace(**changed)}), 32).astype(float)


@pytest.mark.parametrize("name", FACTORS)
def test_every_factor_is_seen(name):
    """Between its ends the picture changes, whatever else is drawn; its ends are those of the docs."""
    least = -1 if name in SIGNED else 0
    moved = [np.abs(at(index, name, least) - at(index, name, 1)).mean() for index in range(20)]
    assert np.median(moved) > VISIBLE
    drawn = [portrait(0, index).factors[name] for index in range(400)]
    assert least <= min(drawn) < least + 0.1 and 0.95 < max(drawn) <= 1


def test_the_portraits_that_ship_have_their_factors():
    data = open_portraits(40, 32)
    found = data.factors([3, 17])
    assert found.names[:40] == data.attribute_names and found.names[40:] == FACTORS
    assert found.kinds == ("binary",) * 40 + ("real",) * len(FACTORS)
    expected = [list(portrait(0, i).factors.values()) for i in (3, 17)]
    assert np.array_equal(found.values[:, 40:], expected)
    assert np.array_equal(found.values[:, :40], data.labels([3, 17]))
    assert np.array_equal(data.at(16).factors([3, 17]).values, found.values)
    assert np.array_equal(planned(40, 32).factors([3, 17]).values, found.values)


def test_independent_portraits(tmp_path):
    """Each is of its own person; no factor tells another."""
    rows = table(written(tmp_path / "f", "--count", "400", "--factors"))
    names = [f"{name}:real" for name in FACTORS]
    values = np.array([[float(row[name]) for name in names] for row in rows])
    of_each = np.corrcoef(values.T)
    np.fill_diagonal(of_each, 0)
    assert np.abs(of_each).max() < 0.2  # 3.2 standard errors are .16, of 190 pairs
    data = open_dataset(tmp_path / "f", 32)
    found = data.factors(range(len(data)))
    assert set(FACTORS) <= set(found.names) and "Smiling" in found.names
    column = found.values[:, found.names.index("yaw")]
    assert column == pytest.approx(values[:, FACTORS.index("yaw")])
    drawn = [independent(0, i, {}) for i in range(400)]
    assert len({p.identity for p in drawn}) == 400
    assert np.array_equal(data.images([7])[0], render(drawn[7], 32))
    assert [int(row["Smiling"]) for row in rows] == [p.attributes["Smiling"] for p in drawn]


def test_all_combinations(tmp_path):
    """Twice, with everything else drawn anew; ordered factors count their levels from 0."""
    levels = "turn=3,skin=2,Eyeglasses=2"
    written(tmp_path / "g", "--count", "24", "--factors", levels)
    data = open_dataset(tmp_path / "g", 32)
    found = data.factors(range(24))
    kinds = dict(zip(found.names, found.kinds, strict=True))
    assert {name: kind for name, kind in kinds.items() if kind != "real"} == {
        "turn": "ordered", "skin": "ordered", "Eyeglasses": "binary",
    }  # fmt: skip
    columns = {name: found.values[:, k] for k, name in enumerate(found.names)}
    combinations = list(zip(columns["turn"], columns["skin"], columns["Eyeglasses"], strict=True))
    assert combinations == 2 * [*product(range(3), range(2), range(2))]
    assert len({*columns["yaw"].tolist()}) == 24
    for index in (0, 7, 23):
        one = independent(0, index, {"turn": 3, "skin": 2, "Eyeglasses": 2})
        assert np.array_equal(data.images([index])[0], render(one, 32))
        assert one.factors["turn"] == (-1, 0, 1)[int(columns["turn"][index])]
        assert one.attributes["Eyeglasses"] == columns["Eyeglasses"][index]


def of_one_person(name, level, of):
    """Person 0 with a factor or an attribute at a level, the others as `independent` has them."""
    one, other = (independent(0, index, {name: of}) for index in (0, level))
    if name not in FACTORS:
        return replace(one, attributes=other.attributes)
    value = other.factors[name]
    changed = {name: value} | ({"light_strength": abs(value)} if name == "light" else {})
    part = "look" if name in one.look._fields else "scene"
    return replace(one, **{part: getattr(one, part)._replace(**changed)})


@pytest.mark.parametrize("name", [*ATTRIBUTES, *FACTORS])
def test_levels_are_seen(name):
    """What labels.csv tells apart, pictures of one person do too."""
    of = 3 if name in FACTORS else 2
    drawn = {render(of_one_person(name, level, of), 32).tobytes() for level in range(of)}
    assert len(drawn) == of


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--count", "10", "--factors", "turn=3"], "--count 10: must be a multiple of the 3 combinations"),
        (["--count", "6", "--factors", "turm=3"], "no factor 'turm'; did you mean turn?"),
        (["--count", "6", "--factors", "Smiling=3"], "Smiling takes 2 levels"),
        (["--count", "6", "--factors", "yaw=1"], "yaw takes 2 or more levels"),
        (["--count", "6", "--factors", "turn=" + 5000 * "9"], "takes NAME=LEVELS"),
        (["--count", "4", "--factors", "Bald=2,Wavy_Hair=2"], "Bald and Wavy_Hair exclude each other"),
        (["--count", "4", "--factors", "Goatee=2,No_Beard=2"], "Goatee and No_Beard exclude each other"),
    ],
)  # fmt: skip
def test_refusals(words, message, tmp_path, capsys):
    assert message in refusal(
        main, capsys, "portraits", "--out", tmp_path / "x", "--size", "32", *words
    )
    assert not (tmp_path / "x").exists()


def test_other_levels_in_the_same_folder_are_refused(tmp_path, capsys):
    written(tmp_path / "g", "--count", "4", "--factors", "turn=2")
    line = refusal(
        main, capsys, "portraits", "--out", tmp_path / "g", "--count", "4", "--size", "32"
    )
    assert "holds other portraits" in line
