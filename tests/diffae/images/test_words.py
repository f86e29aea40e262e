"""What the commands of images call and say: edits, files, checkpoints, results, and how pictures were read."""

from argparse import Namespace
from pathlib import Path

import pytest

from diffae.checkpoints.checkpoint import OFFICIAL
from diffae.images.commands import _edits, _notices, file_part, label
from diffae.images.run import checkpoint_name, summary
from diffae.system.errors import UserError


class Known:
    """A classifier of three attributes."""

    names = ("Smiling", "Male", "Wavy_Hair")

    def index(self, name):
        return [one.lower() for one in self.names].index(name.lower())


def edits(*attributes, strip=None, strength=None):
    return _edits(Namespace(attribute=[*attributes], strip=strip, strength=strength), Known())


@pytest.mark.parametrize(
    ("attributes", "options", "expected"),
    [
        ([], {}, [{"Smiling": 0.3}]),
        ([], {"strength": 0.0}, [{"Smiling": 0.0}]),
        (["male"], {"strength": -2.0}, [{"Male": -2.0}]),
        (["male=0.0"], {}, [{"Male": 0.0}]),
        (["male=1.0", "smiling"], {}, [{"Male": 1.0, "Smiling": 0.3}]),
        (["male=0.0", "smiling"], {"strength": 2.0}, [{"Male": 0.0, "Smiling": 2.0}]),
        (["male"], {"strip": [-1.0, 0.0, 1.0]}, [{"Male": x} for x in (-1.0, 0.0, 1.0)]),
        (["male=0.5", "smiling"], {"strip": [0.0]}, [{"Male": 0.5, "Smiling": 0.0}]),
    ],
)
def test_an_edit_has_its_own_strength_or_that_of_all(attributes, options, expected):
    """The order is that of the command line; 0 is a strength."""
    found = edits(*attributes, **options)
    assert found == expected
    assert [[*one] for one in found] == [[*one] for one in expected]


@pytest.mark.parametrize(
    ("attributes", "options", "said"),
    [
        (["male", "Male=1.0"], {}, "--attribute Male: given twice"),
        (["male=1.0"], {"strength": 0.0}, "--strength: every attribute has its own strength"),
        (["male=0.0"], {"strip": [0.0, 1.0]}, "--strip: every attribute has its own strength"),
    ],
)
def test_strengths_that_contradict_each_other_are_refused(attributes, options, said):
    with pytest.raises(UserError, match=said):
        edits(*attributes, **options)


@pytest.mark.parametrize(
    ("change", "words", "file"),
    [
        ({"Smiling": 0.3}, "Smiling +0.3", "Smiling+0.3"),
        ({"Smiling": -2.0}, "Smiling -2", "Smiling-2"),
        ({"Smiling": 0.0}, "Smiling 0", "Smiling0"),
        ({"Smiling": -0.0}, "Smiling 0", "Smiling0"),
        ({"Smiling": 0.3, "Male": -0.2}, "Smiling +0.3, Male -0.2", "Smiling+0.3_Male-0.2"),
        ({"a/b: c": 1.0}, "a/b: c +1", "a_b_c+1"),
        ({"x" * 100: 1.0}, f"{'x' * 100} +1", "x" * 80),
    ],
)
def test_an_edit_in_words_and_in_the_name_of_a_file(change, words, file):
    assert label(change) == words and file_part(words) == file


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("models/mine", "mine"),
        ("models/mine.safetensors", "mine.safetensors"),
        (f"models/ffhq128/{OFFICIAL}", "ffhq128"),
        (OFFICIAL, OFFICIAL),
        ("portraits", "portraits"),
    ],
)
def test_a_checkpoint_is_called_by_its_name_and_not_by_its_place(place, name):
    """The authors' file, which is always called alike, by its folder."""
    assert checkpoint_name(place) == name == checkpoint_name(Path(place))


def files(*names):
    return [{"file": name} for name in names]


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (files(), "o: 0 pictures; look at o/sheet.png"),
        (files("o/a.png"), "o: 1 picture; look at o/sheet.png"),
        (files("o/a.png", "o/a.gif", "o/b.png"), "o: 2 pictures; look at o/sheet.png"),
    ],
)
def test_pictures_are_counted_and_an_animation_is_none(made, line):
    assert summary({"verb": "edit", "out": "o", "sheet": "o/sheet.png", "files": made}) == line


@pytest.mark.parametrize(
    ("scores", "end"),
    [
        ({}, ""),
        ({"a": 0.0}, ", mean AUROC 0.000 on 1,234 test images"),
        ({"a": 0.9, "b": 0.6}, ", mean AUROC 0.750 on 1,234 test images"),
    ],
)
def test_what_was_learnt_has_its_mean_score_if_there_is_one(scores, end):
    result = {"verb": "learn", "out": "c", "attributes": ["a", "b", "c"], "made": "9 images"}
    result |= {"auroc": scores, "test_images": 1234}
    assert summary(result) == f"c: 3 attributes from 9 images{end}"


CUT = ": cut to the middle square; --align, --landmarks or --points aligns a face"
CELEBA = "pictures of 178 x 218, as CelebA's aligned ones: --crop d2c takes the face"


@pytest.mark.parametrize(
    ("cut", "small", "lines"),
    [
        ([], [], []),
        ([("a", (40, 30))], [], [f"a of 40 x 30{CUT}"]),
        ([("a", (40, 30)), ("b", (9, 8))], [], [f"2 pictures (a of 40 x 30, ...){CUT}"]),
        ([("a", (178, 218))], [], [f"a of 178 x 218{CUT}", CELEBA]),
        ([("a", (9, 8)), ("b", (178, 218))], [], [f"2 pictures (a of 9 x 8, ...){CUT}", CELEBA]),
        ([("a", (218, 178))], [], [f"a of 218 x 178{CUT}"]),
        ([], ["a"], ["a: smaller than the model's 32 px, and enlarged"]),
        ([], ["a", "b"], ["2 pictures: smaller than the model's 32 px, and enlarged"]),
        ([("b", (9, 8))], ["a"], [f"b of 9 x 8{CUT}", "a: smaller than"]),
    ],
)
def test_how_pictures_were_read_is_a_line_for_each_kind(cut, small, lines):
    found = list(_notices(cut, small, 32))
    assert len(found) == len(lines)
    assert all(line.startswith(beginning) for line, beginning in zip(found, lines, strict=True))
