"""Protocol files: what they hold, and what is refused."""

import dataclasses

import pytest

from benchmarks.metrics.protocols import schema
from diffae.system.errors import UserError


def plain_with(tmp_path, old="", new=""):
    """A copy of the file of `plain` with one text replaced."""
    text = (schema.FOLDER / "plain.toml").read_text(encoding="utf-8")
    assert not old or text.count(old) == 1
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


def test_plain_is_the_defaults_of_the_fields():
    plain = schema.named("plain")
    for name, kind in schema.SECTIONS.items():
        assert getattr(plain, name) == kind()


def test_a_file_of_ones_own(tmp_path):
    mine = schema.named(str(plain_with(tmp_path, 'range = ["1", ', 'range = ["2", ')))
    assert mine.name == "mine"
    assert mine.ssim == dataclasses.replace(schema.named("plain").ssim, range="2")
    assert mine.describe("ssim")["ssim.range"] == "2"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[ssim]", "[sim]", "no section 'sim'; did you mean ssim"),
        ('range = ["1"', 'rnge = ["1"', "ssim has no field 'rnge'; did you mean range"),
        ('range = ["1"', 'range = ["3"', "ssim.range no choice '3'"),
        ('covariance = ["population", ', "#", "ssim lacks 'covariance'"),
        ('code = "diffae-bench"', "", "code must be a text"),
        (
            'crop = ["center", "diffae/data/transforms.py"]',
            'crop = "center"',
            "pixels.crop must be a pair",
        ),
        ("[psnr]", "[psnr", "not TOML"),
    ],
)
def test_a_fault_in_a_file_is_named(tmp_path, old, new, words):
    path = plain_with(tmp_path, old, new)
    with pytest.raises(UserError, match="mine.toml") as refused:
        schema.read(path)
    assert words in str(refused.value)


def test_an_unknown_protocol():
    with pytest.raises(UserError, match=r"no protocol 'plian'; did you mean plain\?"):
        schema.named("plian")


def test_the_source_of_each_field_is_in_the_repository_of_the_code():
    for name in schema.names():
        protocol = schema.named(name)
        for field, source in protocol.sources.items():
            assert source.startswith(protocol.code.split(" ")[0]), (name, field)
