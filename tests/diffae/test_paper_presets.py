"""Presets of the released configurations: the authors' settings, and the paper's results."""

import re

import pytest
import torch

from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import AUTOENCODER
from diffae.train.presets import PRESETS
from reports.records.published import lookup

DATA = {"FFHQ": "FFHQ 128", "LSUN Horse": "Horse 128", "LSUN Bedroom": "Bedroom 128"}
PAPER = [preset for preset in PRESETS.values() if preset.expect]

# Name, steps of the image model, layers and steps of the latent DDIM: the reference's section 1.4.
SETTINGS = [
    ("ffhq128", 1_015_625, 10, 394_531),
    ("ffhq128-72m", 562_500, None, None),
    ("ffhq128-ddim", 1_015_625, None, None),
    ("ffhq128-ddim-72m", 562_500, None, None),
    ("ffhq256", 3_125_000, 10, 394_531),
    ("horse128", 1_015_625, 20, 977_050),
    ("horse128-ddim", 1_015_625, None, None),
    ("bedroom128", 937_500, 20, 977_050),
    ("bedroom128-ddim", 937_500, None, None),
    ("celeba64", 562_500, 10, 587_890),
    ("celeba64-ddim", 562_500, None, None),
    ("ffhq128-z64", 375_000, None, None),
    ("ffhq128-z128", 375_000, None, None),
    ("ffhq128-z256", 375_000, None, None),
    ("ffhq128-z512", 375_000, None, None),
]


@pytest.mark.parametrize("name, steps, layers, latent_steps", SETTINGS)
def test_schedules_are_the_authors(name, steps, layers, latent_steps):
    preset = PRESETS[name]
    assert preset.image.steps == steps
    assert preset.flip and not preset.pixel_weight
    assert (preset.image.learning_rate, preset.image.ema_decay) == (1e-4, 0.9999)
    if preset.model.latent is not None:
        assert preset.model.latent.num_layers == layers
        assert preset.latent.steps == latent_steps
        decay = 0.0 if preset.data_hint.startswith("LSUN") else 0.01  # Adam there, AdamW elsewhere
        assert preset.latent.weight_decay == decay
    else:
        assert layers is None


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("ffhq128", 182_654_851),
        ("ffhq256", 222_601_987),
        ("bedroom128", 245_651_331),
        ("celeba64", 144_948_931),
        ("celeba64-ddim", 67_841_539),
        ("horse128-ddim", 98_618_499),
    ],
)
def test_networks_have_the_authors_parameters(name, parameters):
    config = PRESETS[name].model
    with torch.device("meta"):
        model = (DiffusionAutoencoder if config.kind == AUTOENCODER else DDIM)(config)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_every_preset_of_the_paper_is_tested():
    assert {preset.name for preset in PAPER} == {name for name, *_ in SETTINGS}


@pytest.mark.parametrize("preset", PAPER, ids=lambda preset: preset.name)
def test_what_to_expect_is_what_the_paper_says(preset):
    system = "DiffAE" if preset.model.kind == AUTOENCODER else "DDIM"
    data = DATA.get(preset.data_hint, "CelebA 64")
    for value, steps in re.findall(r"(?:FID|,) ([\d.]+) at T = (\d+)", preset.expect):
        found = lookup(
            "table4_unconditional_fid",
            system,
            dataset=data,
            setting="",
            steps=int(steps),
            metric="fid",
        )
        assert found.value == float(value)
    if table1 := re.match(r"SSIM ([\d.]+), LPIPS ([\d.]+) on", preset.expect):
        for metric, value in zip(("ssim", "lpips"), table1.groups(), strict=True):
            found = lookup(
                "table1_reconstruction", system, setting="x_T inverted", steps=100, metric=metric
            )
            assert found.value == float(value)
    random = r"SSIM ([\d.]+)(?: on CelebA-HQ at T = 100 with random|, at 130 M)"
    if table2 := re.search(random, preset.expect):
        size = preset.model.z_channels
        title = f"DiffAE {size}D" + (" 48M" if size == 512 else "")
        found = lookup("table2_ablation", title, setting="x_T random", steps=100, metric="ssim")
        assert found.value == float(table2[1])
