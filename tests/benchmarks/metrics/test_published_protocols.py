"""Published numbers of autoencoders beside rows of reconstruction by protocol."""

import json

import pytest

from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.printed import fields_of, names_of
from diffae.system.errors import UserError
from reports.records.estimate import Estimate
from reports.records.published import attach
from reports.records.record import Record
from reports.records.tokenizers import published

TITOK, EQ = "tokenizer_titok_l32_imagenet", "eq-vae"


def row(name, checkpoint, metric, *, crop=None, dataset="imagenet-val", n=50_000, size=256, **more):
    protocol = schema.named(name)
    fields = protocol.describe(metric.removesuffix("_vgg")) | {
        "checkpoint": [checkpoint],
        "precision": "float32",
        "transform": {"image_size": size, "crop": crop or protocol.pixels.crop},
    }
    return record(fields | more, metric, dataset=dataset, setting=name, n=n)


def record(
    fields, metric, table="reconstruction_by_protocol", *, dataset="imagenet-val", setting, n=50_000
):
    """A record as a task makes it: whatever was published is beside it."""
    place = ("reconstruction", table, "mine", dataset, "test", setting, None)
    plain = json.loads(json.dumps(fields))
    return attach(Record(*place, metric, Estimate(1.0, n=n)), plain, fields_of)


def test_a_number_by_the_same_protocol_is_comparable():
    found = row("titok", TITOK, "rfid")
    assert (found.published, found.published_metric, found.not_comparable) == (2.21, "rfid", "")
    assert found.published_source == (
        f"bytedance/1d-tokenizer README_TiTok.md; {TITOK}, recognised by its name"
    )
    lpips = row("eq-vae", EQ, "lpips_vgg", model={"posterior": "sample"})
    assert (lpips.published, lpips.not_comparable) == (0.141, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n": 5_000}, "n 5,000, published with 50,000"),
        ({"size": 128}, "resolution 128, published with 256"),
        ({"crop": "adm"}, "crop adm, published with center-bicubic"),
        ({"precision": "bfloat16"}, "precision bfloat16, published with float32"),
        ({"model": {"posterior": "sample"}}, "posterior sample, published with mean"),
    ],
)
def test_a_field_that_differs_is_named(changes, words):
    assert row("titok", TITOK, "rfid", **changes).not_comparable == words


def test_another_protocol_is_told_apart_by_its_fields():
    found = row("maskbit", TITOK, "rfid", crop="center-bicubic")
    assert found.not_comparable == "rounding truncated, published with half to even"


def test_of_other_data_there_is_no_number():
    assert row("titok", TITOK, "rfid", dataset="pictures").published is None


def test_of_another_network_there_is_no_number():
    """Its fields are those of the metric that it stands for."""
    measured_by = row("titok", TITOK, "rfid").measured_by
    assert record(measured_by, "rfd_effnet", setting="titok").published is None


@pytest.mark.parametrize(
    ("table", "setting", "metric", "published"),
    [
        ("latent_interpolation", "slerp", "ifid", 47.51),
        ("latent_interpolation", "linear", "ifid", None),
        ("latent_robustness", "slerp", "ifid", None),
    ],
)
def test_only_codes_that_are_moved_as_theirs_have_their_number(table, setting, metric, published):
    fields = {"checkpoint": ["EQ-VAE"], "transform": {"image_size": 256}}
    assert record(fields, metric, table, setting=setting).published == published


def test_of_several_numbers_the_nearest_is_shown():
    by_llamagen = row("llamagen", "vq_ds16_c2i", "rfid")
    assert (by_llamagen.published, by_llamagen.not_comparable) == (2.19, "")
    by_adm = row("adm", "vq_ds16_c2i", "rfid")
    assert (by_adm.published, by_adm.not_comparable) == (4.28, "protocol unknown")


def test_a_second_hand_number_is_never_comparable():
    found = row("lightningdit", "vavae-imagenet256-f16d32-dinov2", "psnr")
    assert found.published == 27.96
    assert found.not_comparable == "second-hand"
    assert " (second-hand); " in found.published_source


@pytest.mark.parametrize(("checkpoint", "metric"), [("mine", "rfid"), (TITOK, "psnr")])
def test_nothing_was_published(checkpoint, metric):
    assert row("diffae", checkpoint, metric).published is None


def test_every_protocol_of_a_published_number_defines_its_metric():
    for number in published():
        if number.protocol:
            section = getattr(schema.named(number.protocol), number.metric)
            assert section is not None, number
            if number.metric == "rfid":
                assert number.reference in (section.reference, ""), number


def test_the_names_of_a_checkpoint(tmp_path):
    folder = tmp_path / "sd-vae-ft-ema"
    folder.mkdir()
    assert names_of(folder) == ["sd-vae-ft-ema"]
    (folder / "config.json").write_text(json.dumps({"_name_or_path": "../sdxl-vae/"}))
    assert names_of(folder) == ["sd-vae-ft-ema", "sdxl-vae"]
    assert names_of(tmp_path / "vq_ds16_c2i.pt") == ["vq_ds16_c2i"]
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json: damaged: not JSON"):
        names_of(folder)
