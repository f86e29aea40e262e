"""Sheets of a training: their contents and times, and that they do not affect the training."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_preset import TINY, pictures
from tiny_training import same, trained, weights, write_pictures

from diffae.checkpoints.trained_on import TrainedOn
from diffae.data import open_dataset
from diffae.diffusion.noise import normal
from diffae.eight_bit import to_uint8
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.system import distributed
from diffae.train.callbacks import flags
from diffae.train.callbacks.sheets import SHARE, SOLVER, STEPS, Sheets
from diffae.train.types import Stage
from reports.page.sheets import read_sheet

WITH_PICTURES = Stage("image", "", None, TINY.image, None, pictures=lambda images: {})
IMAGES = torch.from_numpy(pictures(3)).permute(0, 3, 1, 2).float() / 127.5 - 1


def drawn(folder, every=8) -> Sheets:
    return Sheets(folder, every / TINY.image.samples, "tiny", IMAGES, "Images of noise.")


def rows(path) -> dict[str, np.ndarray]:
    """The rows of a sheet by their captions, uint8 n x S x S x 3."""
    sheet = read_sheet(path)
    return {
        caption: np.stack([np.asarray(sheet.cell(row, column)) for column in range(3)])
        for row, caption in enumerate(sheet.rows)
    }


def as_drawn(images):
    return to_uint8(images).permute(0, 2, 3, 1).numpy()


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def test_a_sheet_has_what_the_averaged_model_makes_of_the_images_and_the_noise(tmp_path):
    """Those of the end of a stage, against the checkpoint that is written after it."""
    out = trained(tmp_path / "out", callbacks=[drawn(tmp_path / "sheets")])
    model = DiffusionAutoencoder.from_pretrained(out)
    x_T = normal(0, "sheet", range(3), (3, 8, 8))
    z = model.encode(IMAGES)
    inverted = model.encode_stochastic(IMAGES, z, STEPS, SOLVER)
    found = rows(tmp_path / "sheets/image/000000000024.png")
    assert list(found) == ["image", "x_T inverted", "x_T random"]
    for row, expected in zip(
        found.values(),
        (
            IMAGES,
            model.decode(z, inverted, STEPS, SOLVER),
            model.decode(z, x_T, STEPS, SOLVER),
        ),
        strict=True,
    ):
        assert abs(row.astype(int) - as_drawn(expected)).max() <= 1
    z = model.sample_latents(normal(0, "sheet z", range(3), (4,)), STEPS, SOLVER)
    found = rows(tmp_path / "sheets/latent/000000000024.png")
    expected = as_drawn(model.decode(z, x_T, STEPS, SOLVER))
    assert list(found) == ["samples"]
    assert abs(found["samples"].astype(int) - expected).max() <= 1


def test_a_sheet_of_the_baseline_has_reconstructions_and_samples(tmp_path):
    of_ddim = replace(TINY.model, kind="ddim", encoder_channel_mult=(), latent=None)
    preset = replace(TINY, model=of_ddim, latent=None)
    out = trained(tmp_path / "out", preset=preset, callbacks=[drawn(tmp_path / "sheets")])
    model = DDIM.from_pretrained(out)
    samples = model.decode(normal(0, "sheet", range(3), (3, 8, 8)), STEPS, SOLVER)
    inverted = model.decode(model.encode_stochastic(IMAGES, STEPS, SOLVER), STEPS, SOLVER)
    found = rows(tmp_path / "sheets/image/000000000024.png")
    assert list(found) == ["image", "x_T inverted", "samples"]
    assert abs(found["samples"].astype(int) - as_drawn(samples)).max() <= 1
    assert abs(found["x_T inverted"].astype(int) - as_drawn(inverted)).max() <= 1


def test_the_encoder_s_start_shows_its_pixel_decoder(tmp_path):
    preset = replace(TINY, encoder=replace(TINY.image, learning_rate=0.02), latent=None)
    trained(tmp_path / "out", preset=preset, callbacks=[drawn(tmp_path / "sheets", every=4)])
    first, last = (rows(tmp_path / f"sheets/encoder/0000000000{n}.png") for n in ("04", "24"))
    assert list(last) == ["image", "pixel decoder"]
    errors = [abs(found["pixel decoder"].astype(int) - found["image"]).mean() for found in (first, last)]  # fmt: skip
    assert errors[1] < errors[0]
    caption = read_sheet(tmp_path / "sheets/encoder/000000000024.png").caption
    assert caption == "The moving average of the weights. Images of noise."


def test_a_training_with_sheets_is_the_training(tmp_path):
    """It has dropout, and is shown after every step. Going on draws the sheet that is missing."""
    plain = trained(tmp_path / "plain")
    shown = trained(tmp_path / "shown", callbacks=[drawn(tmp_path / "sheets", every=4)])
    assert same(weights(plain), weights(shown))
    assert len(names(tmp_path / "sheets")) == 12
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "sheets").rglob("*.png")}
    missing = tmp_path / "sheets/image/000000000024.png"
    missing.unlink()
    trained(tmp_path / "shown", callbacks=[drawn(tmp_path / "sheets", every=4)])
    assert missing.exists()
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != missing)


def test_a_sheet_is_drawn_whenever_so_many_images_were_seen_and_at_the_end(tmp_path):
    trained(tmp_path / "out", callbacks=[drawn(tmp_path / "sheets", every=10)])
    drawn_at = [f"{seen:012}.png" for seen in (12, 20, 24)]
    assert names(tmp_path / "sheets") == [
        f"{stage}/{name}" for stage in ("image", "latent") for name in drawn_at
    ]
    sheet = read_sheet(tmp_path / "sheets/image/000000000012.png")
    assert (sheet.about["stage"], sheet.about["images_seen"]) == ("image", 12)
    assert "12 images seen" in sheet.title


def test_by_default_ten_sheets_are_drawn(tmp_path):
    class Named(Sheets):
        def _make(self, path):
            path.parent.mkdir(exist_ok=True)
            path.touch()

    training = SimpleNamespace(step=0, seen=0, schedule=replace(TINY.image, samples=80_000))
    callback = Named(tmp_path, SHARE, "t", IMAGES, "")
    callback.begins(training, WITH_PICTURES)
    for step in range(1, 20_001):
        training.step, training.seen = step, 4 * step
        callback.step(1.0)
    assert names(tmp_path) == [f"image/{seen:012}.png" for seen in range(8_000, 80_001, 8_000)]


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_draws_and_all_wait(tmp_path, monkeypatch, rank):
    waited = []
    callback = drawn(tmp_path / "sheets", every=4)
    training = SimpleNamespace(step=1, seen=4, schedule=TINY.image)
    monkeypatch.setattr(callback, "_make", lambda path: waited.append("drawn"))
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "barrier", lambda: waited.append("barrier"))
    callback.begins(training, WITH_PICTURES)
    assert waited == ["drawn"] * (rank == 0) + ["barrier"]


# ----------------------------------------------------------------------------------------------
# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_pictures(tmp_path_factory.mktemp("images") / "noise", pictures(40))
    return open_dataset(folder, 8)


@pytest.mark.parametrize(
    ("split", "shown", "source"),
    [
        ("train", "test", "Held-out images."),
        ("all", "all", "Images of the training."),
        ("test", "test", "Images of the training."),
    ],
)
def test_held_out_images_are_shown_where_there_are_some(data, tmp_path, split, shown, source):
    (callback,) = callbacks_of(data, tmp_path, split)
    every = {image.numpy().tobytes() for image in data.batch(data.indices(shown))}
    chosen = [image.numpy().tobytes() for image in callback.images]
    assert set(chosen) <= every and len(chosen) == 8 and callback.source == source
    ends = data.batch(data.indices(shown)[[0, -1]])
    assert torch.equal(callback.images[[0, -1]], ends)


def callbacks_of(data, folder, split, every=None):
    given = {"tensorboard": False, "sheet_every": every, "evaluate_every": None}
    seen = TrainedOn.describe("t", data, split, 0)
    return flags.callbacks_of(SimpleNamespace(**given), TINY, folder, data, seen)


def test_the_flag_says_how_often_and_never(data, tmp_path):
    (sheets,) = callbacks_of(data, tmp_path, "train", 6)
    assert sheets.share == 6 / 24 and not callbacks_of(data, tmp_path, "train", 0)
