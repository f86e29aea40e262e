"""Every field of every protocol file against a second transcription of the evaluation codes."""

import tomllib
from pathlib import Path

import pytest
from protocols_transcribed import FIELDS, TABLE, Open

import benchmarks

FILES = sorted((Path(benchmarks.__file__).parent / "protocols").glob("*.toml"))


def test_every_protocol_is_in_the_table_and_no_other():
    assert TABLE.keys() == {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_says_what_its_code_says(path):
    sections = {
        name: {key: pair[0] for key, pair in section.items()}
        for name, section in tomllib.loads(path.read_text()).items()
        if isinstance(section, dict)
    }
    expected = {
        name: {
            key: value.value if isinstance(value, Open) else value
            for key, value in zip(FIELDS[name], row, strict=True)
        }
        for name, row in TABLE[path.stem].items()
    }
    assert sections == expected
