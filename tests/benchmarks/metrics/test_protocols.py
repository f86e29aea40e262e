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


def test_the_protocols_that_ship():
    assert set(schema.names()) == {"plain", *PUBLISHED}


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


SCRIPT = """\
import torch

class Model:
    def encode(self, x):
        def half(y):
            return y / 2

        return half(x)
"""


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("l.1 at module level", ""),
        ("l.4, l.8 in Model.encode", ""),
        ("l.5-6 in Model.encode.half", ""),
        ('l.1 "import torch"', ""),
        ("l.5-8 in Model.encode.half", "in Model.encode"),
        ("l.8 at module level", "not at module level"),
        ("l.9 in Model.encode", "has 8 lines"),
        ('l.2 "import torch"', "no "),
    ],
)
def test_a_line_that_stands_elsewhere_is_told(where, words):
    (part,) = protocol_sources.parts(f"ours/code@1f2e3d4 model.py {where} (a remark)")
    assert words in protocol_sources.wrong(part, SCRIPT)
    assert bool(words) == bool(protocol_sources.wrong(part, SCRIPT))


@pytest.mark.parametrize(
    "where", ["l.4", "model.py", "model.py l.4-", "l.4 in f", "model.py l.4 in"]
)
def test_a_source_without_file_line_or_function_is_refused(where):
    with pytest.raises(ValueError, match="not FILE l.LINE in FUNCTION"):
        protocol_sources.parts(f"ours/code@1f2e3d4 {where}")


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
