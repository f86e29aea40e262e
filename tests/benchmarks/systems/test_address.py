"""PATH#option=value: the path and every option of the system, or one line that names the path."""

from pathlib import Path

import pytest

from benchmarks.systems.shared.recognised import Whole, read_address
from diffae.system.errors import UserError

CHOICES = {"block": ("relu-skip", "input-skip"), "noise": ("const", "none")}


@pytest.mark.parametrize(
    ("text", "path", "block", "noise"),
    [
        ("a/b.pt", "a/b.pt", "relu-skip", "const"),
        ("a/b.pt#block=input-skip", "a/b.pt", "input-skip", "const"),
        ("a/b.pt#noise=none,block=input-skip", "a/b.pt", "input-skip", "none"),
        ("#noise=none", None, "relu-skip", "none"),
        (None, None, "relu-skip", "const"),
    ],
)
def test_path_and_options(text, path, block, noise):
    expected = None if path is None else Path(path)
    assert read_address(text, CHOICES) == (expected, {"block": block, "noise": noise})


def test_a_file_with_a_mark_in_its_name_is_found(tmp_path):
    file = tmp_path / "a#block=none"
    file.touch()
    assert read_address(str(file), CHOICES)[0] == file


@pytest.mark.parametrize(
    ("text", "words", "choices"),
    [
        (
            "x.pt#blok=relu-skip",
            "x.pt#blok=relu-skip: no option 'blok'; did you mean block?",
            CHOICES,
        ),
        ("x.pt#block=skip", "block is one of relu-skip, input-skip, not 'skip'", CHOICES),
        ("x.pt#block", "not ''", CHOICES),
        ("x.pt#a=b", "this system has none", {}),
    ],
)
def test_bad_options_are_one_line_with_the_path(text, words, choices):
    with pytest.raises(UserError) as error:
        read_address(text, choices)
    assert words in str(error.value) and "x.pt" in str(error.value)


def test_a_whole_number_may_be_an_option():
    choices = {"steps": Whole(1000, 1, 5000)}
    assert read_address("x.pt", choices)[1] == {"steps": "1000"}
    assert read_address("x.pt#steps=20", choices)[1] == {"steps": "20"}
    for bad in ("0", "5001", "-1", "1.5", "", "9" * 50):
        with pytest.raises(UserError, match="steps is a whole number from 1 to 5000, not"):
            read_address(f"x.pt#steps={bad}", choices)
