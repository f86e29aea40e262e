"""Protocol files: what they hold, and what is refused."""

import dataclasses
import re

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


def test_the_protocols_that_ship():
    assert set(schema.names()) == {"plain", *PUBLISHED}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_field_names_the_line_that_says_so(name):
    protocol = schema.named(name)
    assert re.fullmatch(r"\S+@\S+ \S+", protocol.code)
    for field, source in protocol.sources.items():
        assert re.search(r" l\.\d+", source), field
    second_hand = any(SECOND_HAND in source for source in protocol.sources.values())
    assert second_hand == ("second-hand" in protocol.note)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("diffae", "ssim.padding", "zero"),
        ("diffae", "rfid.reference", "training images"),
        ("taming", "pixels.crop", "cv2"),
        ("llamagen", "ssim.range", "2"),
        ("llamagen", "ssim.pixels", "[0, 1]"),
        ("llamagen", "psnr.rounded", "reconstruction"),
        ("seed-voken", "psnr.rounding", "truncated"),
        ("seed-voken", "psnr.rounded", "both"),
        ("seed-voken", "rfid.rounding", "none"),
        ("dc-ae", "rfid.rounding", "half up"),
        ("dc-ae", "lpips.rounding", "half up"),
        ("titok", "rfid.dtype", "float64"),
        ("titok", "pixels.crop", "center-bicubic"),
        ("maskbit", "rfid.rounding", "truncated"),
        ("maskbit", "psnr.equal_images", "100 dB, 1e-10 added"),
        ("rae", "psnr.equal_images", "100 dB"),
        ("lightningdit", "pixels.crop", "center-tensor"),
        ("lightningdit", "pixels.posterior", "sample"),
        ("lightningdit", "lpips.clamped", False),
        ("lightningdit", "lpips.batch", 8),
        ("lightningdit", "ssim.pixels", "[-1, 1]"),
        ("rae", "rfid.rounding", "truncated"),
        ("vtp", "pixels.scaling", "ImageNet's mean and std"),
        ("vtp", "ssim.batch", 32),
        ("eq-vae", "ssim.range", "of the batch"),
        ("eq-vae", "ssim.clamped", False),
        ("eq-vae", "ssim.padding", "valid"),
        ("eq-vae", "pixels.crop", "center-tensor-aliased"),
        ("eq-vae-unpinned", "ssim.padding", "reflect"),
        ("eq-vae-unpinned", "pixels.crop", "center-tensor"),
        ("adm", "rfid.reference", "ADM's statistics"),
        ("clean-fid", "rfid.resize", "clean-fid"),
        ("torch-fidelity", "rfid.resize", "tensorflow"),
        ("torchmetrics-1.8", "rfid.resize", "antialiased"),
        ("torchmetrics-1.7", "rfid.resize", "tensorflow"),
        ("torchmetrics-1.7", "psnr.of", "all"),
    ],
)
def test_what_sets_a_protocol_apart(name, field, value):
    section, key = field.split(".")
    assert getattr(getattr(schema.named(name), section), key) == value


def test_eq_vae_has_two_protocols_that_differ_in_what_its_libraries_do_alone():
    exported, unpinned = (schema.named(name) for name in ("eq-vae", "eq-vae-unpinned"))
    differ = {
        field
        for metric in schema.METRICS
        for field, value in exported.describe(metric).items()
        if unpinned.describe(metric)[field] != value
    }
    assert differ == {"pixels.crop", "ssim.padding"}
    for one, other in ((exported, "eq-vae-unpinned"), (unpinned, "eq-vae")):
        assert f"`{other}`" in one.note and "cannot be known" in one.note


def test_a_metric_that_a_code_lacks_has_no_section():
    lacks = {
        name: [m for m in schema.METRICS if getattr(schema.named(name), m) is None]
        for name in PUBLISHED
    }
    assert lacks["llamagen"] == ["lpips"]
    assert lacks["titok"] == lacks["adm"] == lacks["clean-fid"] == ["psnr", "ssim", "lpips"]
    assert lacks["diffae"] == lacks["torchmetrics-1.8"] == []
