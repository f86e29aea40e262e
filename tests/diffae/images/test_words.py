"""The edits that a command line asks for, and what they are called."""

import pytest
import torch

from diffae.images.classifier import Classifier
from diffae.images.commands import edits_of, label
from diffae.system.errors import UserError
from probes import LinearProbe

PROBE = LinearProbe(torch.ones(3, 2), torch.zeros(3), torch.zeros(2), torch.ones(2))
CLASSIFIER = Classifier(("Smiling", "Male", "Wavy_Hair"), PROBE)


@pytest.mark.parametrize(
    ("attributes", "strengths", "expected"),
    [
        (["Smiling"], [], [{"Smiling": 0.3}]),
        (["Male"], [-2.0], [{"Male": -2.0}]),
        (["Male=0.0"], [], [{"Male": 0.0}]),
        (["Male=1.0", "Smiling"], [], [{"Male": 1.0, "Smiling": 0.3}]),
        (["Male=0.0", "Smiling"], [2.0], [{"Male": 0.0, "Smiling": 2.0}]),
        (["Male"], [-1.0, 0.0, 1.0], [{"Male": x} for x in (-1.0, 0.0, 1.0)]),
        (["Male=0.5", "Smiling"], [0.0], [{"Male": 0.5, "Smiling": 0.0}]),
    ],
)
def test_an_edit_has_its_own_strength_or_that_of_all(attributes, strengths, expected):
    """The order is that of the command line; 0 is a strength."""
    found = edits_of(attributes, strengths, CLASSIFIER)
    assert found == expected
    assert [[*one] for one in found] == [[*one] for one in expected]


@pytest.mark.parametrize(
    ("attributes", "strengths", "said"),
    [
        (["Male", "Male=1.0"], [], "--attribute Male: given twice"),
        (["Male=0.0"], [0.0], "--strength: every attribute has its own strength"),
    ],
)
def test_strengths_that_contradict_each_other_are_refused(attributes, strengths, said):
    with pytest.raises(UserError, match=said):
        edits_of(attributes, strengths, CLASSIFIER)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Smiling": 0.3}, "Smiling +0.3"),
        ({"Smiling": -2.0}, "Smiling -2"),
        ({"Smiling": 0.0}, "Smiling 0"),
        ({"Smiling": -0.0}, "Smiling 0"),
        ({"Smiling": 0.3, "Male": -0.2}, "Smiling +0.3, Male -0.2"),
        ({"a/b: c": 1.0}, "a/b: c +1"),
    ],
)
def test_an_edit_in_words(change, words):
    assert label(change) == words
