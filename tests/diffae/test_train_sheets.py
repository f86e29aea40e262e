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
from diffae.train.callbacks.curves import Curves
from diffae.train.callbacks.sheets import SOLVER, STEPS, Sheets
from diffae.train.types import Stage
from reports.page.pictures import read_sheet

WITH_PICTURES = Stage("image", "", None, TINY.image, None, pictures=lambda images: {})
IMAGES = torch.from_numpy(pictures(3)).permute(0, 3, 1, 2).float() / 127.5 - 1


class Told(Curves):
    """The sheets that curves are given."""

    def __init__(self):
        self.paths = []

    def picture(self, path):
        self.paths.append(path)


def drawn(folder, every: int | None = 8, curves=()) -> Sheets:
    by_stage = dict.fromkeys(("encoder", "image", "latent"), every) if every else None
    return Sheets(folder, "tiny", lambda: IMAGES, "Images of noise", by_stage, curves)


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
    z = model.sample_latents(normal(0, "sheet z", range(6), (4,)), STEPS, SOLVER)
    found = rows(tmp_path / "sheets/latent/000000000024.png")
    assert list(found) == ["samples", "samples, other z_sem"]
    for row, part in zip(found.values(), z.split(3), strict=True):
        expected = as_drawn(model.decode(part, x_T, STEPS, SOLVER))
        assert abs(row.astype(int) - expected).max() <= 1


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
    plain, told = trained(tmp_path / "plain"), Told()
    shown = trained(tmp_path / "shown", callbacks=[drawn(tmp_path / "sheets", every=4)])
    assert same(weights(plain), weights(shown))
    assert len(names(tmp_path / "sheets")) == 12
    (tmp_path / "sheets/image/000000000024.png").unlink()
    trained(tmp_path / "shown", callbacks=[drawn(tmp_path / "sheets", every=4, curves=[told])])
    assert [path.parent.name + path.name for path in told.paths] == ["image000000000024.png"]


def test_a_sheet_is_drawn_whenever_so_many_images_were_seen_and_at_the_end(tmp_path):
    told = Told()
    trained(tmp_path / "out", callbacks=[drawn(tmp_path / "sheets", every=10, curves=[told])])
    assert [path.name for path in told.paths] == [f"{n:012}.png" for n in (12, 20, 24)] * 2
    about = read_sheet(told.paths[0]).about
    assert (about["stage"], about["images_seen"]) == ("image", 12)
    assert "12 images seen" in read_sheet(told.paths[0]).title


@pytest.mark.parametrize(
    "samples, expected",
    [(80_000, range(8_000, 80_001, 8_000)), (12_000, [4_000, 8_000, 12_000]), (2_000, [2_000])],
)
def test_by_default_ten_sheets_are_drawn_at_least_4000_images_apart(tmp_path, samples, expected):
    class Named(Sheets):
        def _make(self, path):
            path.parent.mkdir(exist_ok=True)
            path.touch()

    training = SimpleNamespace(step=0, seen=0, schedule=replace(TINY.image, samples=samples))
    callback = Named(tmp_path, "t", lambda: IMAGES, "", None)
    callback.begins(training, WITH_PICTURES, lambda: 0)
    for step in range(1, samples // 4 + 1):
        training.step, training.seen = step, 4 * step
        callback.step(1.0)
    assert names(tmp_path) == [f"image/{seen:012}.png" for seen in expected]


@pytest.mark.parametrize("rank", [0, 1])
def test_one_process_draws_and_all_wait(tmp_path, monkeypatch, rank):
    waited = []
    callback = drawn(tmp_path / "sheets", every=4)
    training = SimpleNamespace(step=1, seen=4, schedule=TINY.image)
    monkeypatch.setattr(callback, "_make", lambda path: waited.append("drawn"))
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    monkeypatch.setattr(distributed, "barrier", lambda: waited.append("barrier"))
    callback.begins(training, WITH_PICTURES, lambda: 0)
    assert waited == ["drawn"] * (rank == 0) + ["barrier"]


def test_a_disk_that_takes_no_sheet_does_not_end_the_training(tmp_path, capsys):
    (tmp_path / "sheets").write_text("mine")
    out = trained(tmp_path / "out", callbacks=[drawn(tmp_path / "sheets")])
    assert (out / "model.safetensors").exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6 and all("no sheet (" in line and "continues" in line for line in lines)


# ----------------------------------------------------------------------------------------------
# The command


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_pictures(tmp_path_factory.mktemp("images") / "noise", pictures(40))
    return open_dataset(folder, 8)


def test_held_out_images_are_shown_where_there_are_some(data):
    seen = {s: TrainedOn.describe("t", data, s, 0) for s in ("train", "all", "test")}
    shown, whose = flags._looked_at(data, seen["train"])
    test = data.indices("test")
    assert set(shown) < set(test) and len(shown) == 8 and whose == "Held-out images"
    assert (shown[0], shown[-1]) == (test[0], test[-1])
    for split in ("all", "test"):
        shown, whose = flags._looked_at(data, seen[split])
        assert set(shown) <= set(data.indices(split)) and whose == "Images of the training"


def test_the_flag_says_how_often_and_never(data, tmp_path):
    args = SimpleNamespace(tensorboard=False, wandb=None, sheet_every=None, evaluate_every=None)
    seen = TrainedOn.describe("t", data, "train", 0)
    by_stage = {"encoder": 6, "image": 6, "latent": 60}
    preset = replace(TINY, latent=replace(TINY.latent, samples=240))
    for every, count in ((None, 1), (6, 1), (0, 0)):
        args.sheet_every = every
        found = flags.callbacks_of(args, preset, tmp_path, data, seen)
        assert len(found) == count
        assert all(callback._every == (every and by_stage) for callback in found)
