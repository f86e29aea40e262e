"""The callback of examples/lightning_callback.py in a training by Lightning."""

import importlib
import logging
import re
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import evaluate, systems

pytestmark = pytest.mark.slow  # importing Lightning takes seconds

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def pl():
    """Lightning, imported on use: it takes seconds."""
    found = pytest.importorskip("pytorch_lightning", reason="needs pytorch-lightning (extra test)")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    return found


class Blur:
    """Its code is the image at 8 px, times a weight that is learned."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def encode(self, images):
        return self.weight * torch.nn.functional.avg_pool2d(images, 4)

    def decode(self, code):
        return torch.nn.functional.interpolate(code, scale_factor=4)

    def training_step(self, batch, batch_idx):
        images = batch["image"] if isinstance(batch, dict) else batch[0]
        noise = torch.rand_like(images)  # of the global generator, which must not be moved
        return (self.decode(self.encode(images)) - images + 0.1 * noise).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.fixture
def callback(pl, monkeypatch):
    """The callback, after every second epoch."""
    monkeypatch.syspath_prepend(EXAMPLES)
    made = importlib.import_module("lightning_callback").Evaluation()
    made.every = 2
    return made


def train(pl, loader, *callbacks, kind=Blur):
    """Train for four epochs of two steps. Returns the module, and after each epoch what is logged
    and the weight.
    """
    epochs = []

    class Kept(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            epochs.append((dict(trainer.callback_metrics), module.weight.item()))
            assert module.training

    torch.manual_seed(0)
    module = type("Blur", (kind, pl.LightningModule), {})()
    trainer = pl.Trainer(
        max_epochs=4,
        accelerator="cpu",
        callbacks=[*callbacks, Kept()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    return module, epochs


def images(collate=None):
    torch.manual_seed(1)
    return DataLoader(TensorDataset(torch.rand(16, 3, 32, 32)), batch_size=8, collate_fn=collate)


def test_it_logs_what_evaluate_gives_and_leaves_the_training_as_it_is(pl, callback):
    _, alone = train(pl, images())
    module, measured = train(pl, images(), callback)
    assert [weight for _, weight in measured] == [weight for _, weight in alone]
    first, second, third, last = (logged.get("ssim") for logged, _ in measured)
    assert first is None and second == third != last  # a value stays until there is a new one
    direct = evaluate(
        systems.wrap(module, image_size=32, title="Blur"), "reconstruction", profile="smoke"
    )
    frame = direct.frame().set_index("metric")
    for metric in ("mse", "ssim", "psnr"):
        expected = frame.loc[metric, "value"]
        assert measured[3][0][metric].item() == pytest.approx(expected, rel=1e-6)
        assert measured[1][0][metric].item() != pytest.approx(expected, rel=1e-6)


class Halved(Blur):
    """Its images are in [0, 1]."""

    def decode(self, code):
        return (super().decode(code) / self.weight + 1) / 2


def test_images_of_another_range_are_a_warning_and_the_training_goes_on(pl, callback):
    with pytest.warns(UserWarning, match=re.escape("say range=(0, 1)")):
        _, measured = train(pl, images(), callback, kind=Halved)
    assert len(measured) == 4 and not any("mse" in logged for logged, _ in measured)


def named(items):
    """A mask of another size comes before the images."""
    masks = torch.zeros(len(items), 1, 64, 64)
    return {"mask": masks, "image": torch.stack([image for (image,) in items])}


def test_images_are_found_by_name(pl, callback):
    _, plain = train(pl, images(), callback)
    _, measured = train(pl, images(named), callback)
    assert measured[3][0]["ssim"] == plain[3][0]["ssim"]
