"""The small versions that ship: they load without a path, and resemble their families."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import conv2d

from benchmarks import systems
from benchmarks.core.images import select
from benchmarks.metrics.networks.faces import PACKAGED
from benchmarks.systems.shared import folder
from benchmarks.systems.vqvae2.network import VQVAE2Config
from diffae.checkpoints import packaged
from diffae.data import open_dataset
from diffae.system.errors import UserError

ROOT = Path(__file__).parents[3]
NAMES = ("vqgan", "vqvae2", "nvae", "d2c", "stylegan2-w", "stylegan2-wplus")
MOST = 30 * 2**20  # bytes of all of them


@pytest.fixture(scope="module")
def images(portraits):
    selection = select(open_dataset(portraits, 32), "test", 8, 0)
    return selection.batch(np.arange(len(selection)))


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_without_a_path_and_saw_training_portraits_only(name):
    system = systems.load(name)
    known = system.trained_on
    assert system.image_size == 32
    assert (known.data, known.split, known.portraits["seed"]) == ("portraits", "train", 0)


@pytest.mark.parametrize("name", (*NAMES[:5], "diffae", "ddim"))
def test_a_field_of_a_wrong_type_is_named(name, tmp_path):
    packaged_as = {"diffae": "portraits", "ddim": "portraits-ddim", "stylegan2-w": "stylegan2"}
    place = folder.PACKAGED if name not in ("diffae", "ddim") else packaged.PACKAGED
    place = place / packaged_as.get(name, name)
    (tmp_path / "model.safetensors").symlink_to(place / "model.safetensors")
    config = json.loads((place / "config.json").read_text())
    fields = [field for field in config if field not in ("system", "latent")]
    assert len(fields) >= 6
    for field in fields:
        like = [float(config[field]), True] if type(config[field]) is int else []
        for wrong in (*like, "zz", None, {}, [1.5]):
            text = json.dumps(config | {field: wrong})
            (tmp_path / "config.json").write_text(text)
            with pytest.raises(UserError, match=rf"config\.json: .*\b{field}\b") as error:
                systems.load(name, tmp_path)
            assert "\n" not in str(error.value)


def test_all_of_them_are_small():
    files = [path for path in folder.PACKAGED.rglob("*") if path.is_file()]
    assert 0 < sum(path.stat().st_size for path in files) < MOST


def test_the_page_of_models_says_what_the_packaged_models_take():
    ours = [*packaged.PACKAGED.rglob("*.safetensors"), PACKAGED]
    size = sum(path.stat().st_size for path in ours) / 1e6
    assert f"Together the three take {size:.1f} MB." in (ROOT / "docs/models.md").read_text()


def test_a_folder_has_weights_of_float16_and_numbers_that_are_none_as_they_are(tmp_path):
    network = torch.nn.BatchNorm1d(3)
    network.register_buffer("order", torch.arange(70_000))
    torch.nn.init.constant_(network.weight, 1 / 3)
    folder.write(network, "vqvae2", VQVAE2Config(), tmp_path)
    found = load_file(tmp_path / folder.WEIGHTS)
    assert found["weight"].dtype == torch.float16 and found["order"].dtype == torch.int64
    assert torch.equal(found["order"], network.order) and "num_batches_tracked" not in found
    torch.testing.assert_close(found["weight"].float(), network.weight.data, rtol=1e-3, atol=0)


def round_trip(name, images):
    system = systems.load(name)
    return system.decode(system.encode(images))


def sharpness(images):
    """Mean of the absolute Laplacian of grey."""
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return float(conv2d(images.mean(1, keepdim=True), kernel).abs().mean())


def error(found, images):
    return float(((found - images) / 2).square().mean())


@pytest.mark.slow
def test_vq_gan_is_sharp_and_vq_vae_2_is_near(images):
    """An adversary makes detail where a squared error leaves it out, and pays in squared error."""
    gan, vae = (round_trip(name, images) for name in ("vqgan", "vqvae2"))
    assert sharpness(gan) > 1.1 * sharpness(vae)
    assert sharpness(vae) < 0.9 * sharpness(images)
    assert error(vae, images) < 0.7 * error(gan, images) < 0.005


@pytest.mark.slow
def test_nvae_has_the_largest_code_and_comes_nearest(images):
    errors = {name: error(round_trip(name, images), images) for name in ("nvae", "vqvae2", "vqgan")}
    assert min(errors, key=errors.get) == "nvae" and errors["nvae"] < 0.002
    sizes = {name: systems.load(name).latent_dim for name in NAMES}
    assert max(sizes, key=sizes.get) == "nvae"


@pytest.mark.slow
def test_d2c_comes_near_and_draws_codes_about_as_wide_as_those_of_images(images):
    """Its latent DDIM: 13 to 20 times as wide before its loss weighed late times up."""
    system = systems.load("d2c")
    assert error(round_trip("d2c", images), images) < 0.01
    known = system.encode(images).semantic.std((0, 2, 3))
    drawn = system.sample_latents(list(range(16)), 0, 1).std((0, 2, 3))
    assert (0.5 * known < drawn).all() and (drawn < 2 * known).all()
