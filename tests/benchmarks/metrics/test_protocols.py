"""Protocol files: what they hold, and what is refused."""

import dataclasses
import importlib.metadata
import importlib.util
import re
from datetime import date
from pathlib import Path

import protocol_sources
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


def test_two_protocols_never_share_a_name(tmp_path):
    mine = plain_with(tmp_path)
    (tmp_path / "sub").mkdir()
    other = tmp_path / "sub" / "mine.toml"
    ours = mine.with_name("llamagen.toml")
    for copy in (other, ours):
        copy.write_bytes(mine.read_bytes())
    assert schema.asked((str(mine), str(mine)), explain=True)[-1] == str(mine)
    with pytest.raises(UserError, match=f"^{other}: {mine} is called mine too; rename one$"):
        schema.asked((str(mine), str(other)), explain=False)
    with pytest.raises(
        UserError, match=f"^{ours}: llamagen is a protocol of ours; rename the file"
    ):
        schema.named(str(ours))


def test_an_unknown_protocol():
    with pytest.raises(UserError, match=r"no protocol 'plian'; did you mean plain\?"):
        schema.named("plian")


def test_the_source_of_each_field_is_in_the_repository_of_the_code():
    for name in schema.names():
        protocol = schema.named(name)
        for field, source in protocol.sources.items():
            assert source.startswith(protocol.code.split(" ")[0]), (name, field)


PUBLISHED = (
    "diffae",
    "taming",
    "llamagen",
    "seed-voken",
    "dc-ae",
    "titok",
    "maskbit",
    "lightningdit",
    "rae",
    "vtp",
    "eq-vae",
    "eq-vae-unpinned",
    "adm",
    "pytorch-fid",
    "clean-fid",
    "torch-fidelity",
    "torchmetrics-1.8",
    "torchmetrics-1.7",
)
SECOND_HAND = "(second-hand: tokenizer tables, not read)"


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_field_names_the_line_that_says_so_and_its_function(name):
    protocol = schema.named(name)
    version = re.fullmatch(r"[\w-]+/[\w-]+@(\S+) \S+", protocol.code)[1]
    assert re.fullmatch("[0-9a-f]{40}", protocol.commit)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version) or protocol.commit.startswith(version)
    assert date.fromisoformat(protocol.read)
    for source in protocol.sources.values():
        protocol_sources.parts(source)
    second_hand = any(SECOND_HAND in source for source in protocol.sources.values())
    assert second_hand == ("second-hand" in protocol.note)


@pytest.mark.parametrize("name", ["pytorch-fid", "torch-fidelity"])
def test_the_lines_of_an_installed_package_stand_in_the_functions_named(name):
    """Those of the other codes: tests/helpers/protocol_sources.py, with clones of them."""
    if f"@{importlib.metadata.version(name)} " not in schema.named(name).code:
        pytest.skip("another version is installed")
    package = Path(importlib.util.find_spec(name.replace("-", "_")).origin).parent.parent
    assert not list(
        protocol_sources.faults(
            name, lambda part: (package / part.file.removeprefix("src/")).read_text("utf-8")
        )
    )
