"""Images with their counterfactuals: of portraits, which are drawn, and by a pairs.csv."""

from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image

from benchmarks.core.calls import _Undecoded
from benchmarks.core.images import select
from diffae.data import open_portraits
from diffae.data.pairs import pairs_of
from diffae.data.portraits import ATTRIBUTES, portrait, render, with_attribute
from diffae.data.portraits.write import planned
from diffae.data.transforms import Transform
from diffae.system.errors import UserError


@pytest.fixture(scope="module")
def data():
    return open_portraits(40, 32)


@pytest.mark.parametrize(("attribute", "on"), [("Black_Hair", True), ("No_Beard", False)])
def test_counterfactuals_of_portraits_are_drawn_and_resized_as_they_are(data, attribute, on):
    """At the 64 px of the set and then by its transform; of any positions, at any size."""
    pairs = pairs_of(data, attribute, on, 6, 0, "all")
    switched = [with_attribute(portrait(0, int(i)), attribute, on) for i in pairs.before]
    drawn = [Image.fromarray(render(one, 64)) for one in switched]
    for size in (32, 24):
        after = pairs_of(data.at(size), attribute, on, 6, 0, "all").after(np.array([4, 1]))
        expected = np.stack([Transform(size).apply(drawn[k], "") for k in (4, 1)])
        assert np.array_equal(after.permute(0, 2, 3, 1), expected.astype(np.float32) / 127.5 - 1)
        before = data.at(size).batch(pairs.before[[4, 1]])
        assert (after != before).flatten(1).any(1).all()


def test_before_are_the_first_of_the_order_of_a_run_without_the_state(data):
    """Whatever the split and seed; each with the person of its picture."""
    column = data.attributes[:, ATTRIBUTES.index("Smiling")]
    for split, seed, on in [("test", 0, True), ("all", 0, True), ("all", 3, False)]:
        order = select(data, split, 40, seed).order
        expected = [i for i in order if column[i] != on]
        pairs = pairs_of(data, "Smiling", on, 5, seed, split)
        assert pairs.before.tolist() == expected[:5] and (pairs.attribute, pairs.on) == (
            "Smiling",
            on,
        )
        assert pairs.people.tolist() == [portrait(0, i).identity + 1 for i in pairs.before]
        assert len(pairs_of(data, "Smiling", on, 1000, seed, split)) == len(expected)
    every = [pairs_of(data, "Smiling", True, 5, seed, "all").before.tolist() for seed in range(3)]
    assert len(set(map(tuple, every))) == 3
    empty = pairs_of(data, "Smiling", True, 0, 0)
    assert empty.others_changed.shape == (0, 40) and empty.after(np.arange(0)).shape == (
        0,
        3,
        32,
        32,
    )


@pytest.mark.parametrize("on", [True, False])
def test_others_changed_are_those_that_differ_in_the_drawing(on):
    data, seen = planned(120, 32, seed=2), 0
    for attribute in ATTRIBUTES:
        pairs = pairs_of(data, attribute, on, 30, 0, "all")
        for index, others in zip(pairs.before, pairs.others_changed, strict=True):
            one = portrait(2, int(index))
            after = with_attribute(one, attribute, on).attributes
            differ = {name for name in ATTRIBUTES if after[name] != one.attributes[name]}
            assert attribute in differ
            assert {ATTRIBUTES[k] for k in np.flatnonzero(others)} == differ - {attribute}
            seen += len(differ) > 1
    assert seen > 200 if on else not seen  # removing excludes nothing
    goatees = pairs_of(data, "Goatee", on, 30, 0, "all")  # by hand: a goatee is a beard
    shaved = data.attributes[goatees.before, ATTRIBUTES.index("No_Beard")]
    assert np.array_equal(goatees.others_changed[:, ATTRIBUTES.index("No_Beard")], shaved & on)


def test_what_is_refused(data):
    with pytest.raises(
        UserError, match=r"^portraits: no counterfactuals of 'Smilling'; did you mean Smiling\?$"
    ):
        pairs_of(data, "Smilling", True, 4, 0)
    with pytest.raises(UserError, match=r"^portraits: .*pairs\.csv"):
        pairs_of(replace(data, drawing=None), "Smiling", True, 4, 0)


def test_a_dry_run_draws_nothing():
    """Its images are white; read otherwise, these portraits are an error."""
    data = planned(40, 32)
    pairs = pairs_of(data, "Smiling", True, 4, 0)
    with pytest.raises(UserError, match="not drawn"):
        pairs.after(np.arange(2))
    white = _Undecoded(**{f.name: getattr(data, f.name) for f in fields(data) if f.init})
    assert (pairs_of(white, "Smiling", True, 4, 0).after(np.arange(2)) == 1).all()
