"""Published numbers of image autoencoders."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from reports.records.estimate import Estimate
from reports.records.record import Record
from reports.records.tokenizers import differences, published, published_for

FILE = Path(__file__).parents[2] / "reports" / "published" / "tokenizers.csv"


def values(checkpoint, metric):
    return [(number.value, number.mark) for number in published_for(checkpoint, metric)]


@pytest.mark.parametrize(
    ("checkpoint", "metric", "numbers"),
    [
        ("sd-vae-ft-ema", "rfid", [(4.42, "P")]),
        ("SD_VAE_ft_MSE", "psnr", [(24.5, "P")]),
        ("kl-f8", "psim", [(1.01, "P"), (1.02, "P")]),
        ("kl-f16", "rfid", [(0.87, "P"), (0.82, "S")]),
        ("vq_ds16_c2i", "rfid", [(2.19, "P"), (2.11, "P"), (4.28, "P")]),
        ("vq_ds16_t2i", "ssim", [(0.54, "P"), (0.55, "P")]),
        ("dc-ae-f64c128-in-1.0", "lpips", [(0.0802, "P")]),
        ("eq-vae", "lpips_vgg", [(0.141, "P")]),
        ("vavae-imagenet256-f16d32-dinov2", "rfid", [(0.28, "S"), (0.3438, "P"), (0.28, "S"), (0.3, "S")]),
        ("RAE DINOv2-B, ViT-XL decoder", "rfid", [(0.49, "S")]),
        ("RAE DINOv2-B, ViT-XL decoder, trained with noise", "rfid", [(0.57, "P"), (0.54, "P"), (0.5776, "P"), (1.9, "P")]),
        ("kl16", "rfid", [(1.22, "S"), (0.53, "S"), (0.5735, "S")]),
        ("tokenizer_titok_l32_imagenet", "rfid", [(2.21, "P")]),
        ("tokenizer_titok_l32_imagenet", "rfd_effnet", []),
        ("tokenizer_titok_l32_imagenet", "psnr", []),
        ("sd-vae", "rfid", []),
    ],
)  # fmt: skip
def test_numbers_of_a_checkpoint(checkpoint, metric, numbers):
    assert values(checkpoint, metric) == numbers


def test_the_file():
    """Numbers as printed, none twice, none from memory."""
    rows = list(csv.DictReader(FILE.open(encoding="utf-8", newline="")))
    assert len(rows) == len(published())
    assert {row["mark"] for row in rows} == {"P", "S"}
    assert {row["metric"] for row in rows} == {
        "rfid",
        "psnr",
        "ssim",
        "lpips",
        "psim",
        "ifid",
        "gfid",
    }
    assert all(row["source"] for row in rows)
    keys = [tuple(row[name] for name in row if name not in ("value", "spread")) for row in rows]
    assert len(set(keys)) == len(keys)
    of_psim = {
        (row["checkpoint"], row["spread"])
        for row in rows
        if row["set"] == "COCO 2017 val" and row["metric"] == "psim"
    }
    assert of_psim == {
        ("sd-vae-ft-ema", "0.27"), ("sd-vae-ft-mse", "0.27"), ("kl-f8", "0.28"), ("sdxl-vae", "0.27"),
    }  # fmt: skip


def test_a_number_that_a_user_measured_follows_no_protocol():
    """Whoever opens an issue because a number differs has measured it in a way of one's own."""
    users = [number for number in published() if " issue " in number.source and number.mark == "P"]
    assert users and not any(number.protocol for number in users)


ROW = Record("reconstruction", "reconstruction_by_protocol", "vq", "imagenet-val", "test", "adm",
             None, "rfid", Estimate(4.3, n=50_000))  # fmt: skip


def words(number, ours, theirs):
    return list(differences(number, ROW, {"resolution": 256, **ours}, theirs))


def test_an_unknown_protocol_is_a_difference_beside_the_known_reference():
    _, by_clean_fid, of_training = published_for("vq_ds16_c2i", "rfid")
    ours = {"rfid.reference": "ADM's statistics"}
    assert words(of_training, ours, {}) == ["protocol unknown"]
    assert words(by_clean_fid, ours, {}) == ["protocol unknown", "reference not stated"]


def test_what_is_not_stated_is_a_difference():
    number = published_for("sdxl-vae", "lpips")[0]
    unstated = ["protocol unknown", *(f"{name} not stated" for name in ("set", "n", "resolution"))]
    assert words(number, {}, {}) == unstated


def test_a_field_that_differs_is_named():
    number = published_for("vq_ds16_c2i", "rfid")[0]
    theirs = {"rfid.rounding": "half up", "pixels.crop": "adm"}
    assert words(number, theirs, theirs) == []
    assert words(number, theirs | {"rfid.rounding": "none"}, theirs) == [
        "rounding none, published with half up"
    ]
    of_fewer = replace(ROW, estimate=Estimate(4.3, n=5_000))
    fewer = list(differences(number, of_fewer, {"resolution": 256, **theirs}, theirs))
    assert fewer == ["n 5,000, published with 50,000"]
    assert words(number, {"pixels.crop": "adm"}, theirs) == [
        "rounding not recorded, published with half up"
    ]
