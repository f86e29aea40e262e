"""Published numbers of autoencoders beside rows of reconstruction by protocol."""

import dataclasses
import json
from types import SimpleNamespace

import pytest

from benchmarks.core.context import RowProtocol, make_row
from benchmarks.metrics.protocols import schema
from benchmarks.metrics.protocols.printed import attach, names_of
from diffae.system.errors import UserError
from reports.records.tokenizers import published

TITOK, EQ = "tokenizer_titok_l32_imagenet", "eq-vae"


def row(name, checkpoint, metric, *, crop=None, dataset="imagenet-val", n=50_000, size=256, **more):
    protocol = schema.named(name)
    fields = protocol.describe(metric.removesuffix("_vgg")) | {
        "checkpoint": [checkpoint],
        "precision": "float32",
        "transform": {"image_size": size, "crop": crop or protocol.pixels.crop},
    }
    made = make_row(
        SimpleNamespace(name=dataset, survey=SimpleNamespace(note="")),
        "reconstruction", "reconstruction_by_protocol", "mine", metric, 1.0, setting=name, n=n,
        protocol=RowProtocol(fields | more),
    )  # fmt: skip
    return attach(made, made.measured_by)


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
    found = dataclasses.asdict(row("titok", TITOK, "rfid"))
    fields = found.pop("measured_by")
    stand_in = make_row(
        SimpleNamespace(name="imagenet-val", survey=SimpleNamespace(note="")),
        "reconstruction", "reconstruction_by_protocol", "mine", "rfd_effnet", 1.0, setting="titok",
        n=50_000, protocol=RowProtocol(fields),
    )  # fmt: skip
    assert attach(stand_in, fields).published is None


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
