"""Systems named by an address: package.module:factory, and timm:MODEL with a file."""

import os
import sys

import pytest
import timm
import torch
from safetensors.torch import save_file

from benchmarks import evaluate, systems
from benchmarks.commands import options
from diffae.system.errors import UserError

MODULE = '''
import torch
from benchmarks.systems import Code, System

class Blocks(System):
    """Means of 4 x 4 pixels"""
    title, image_size, latent_dim = "Blocks", 32, 192
    capabilities = frozenset({"encode", "decode", "semantic"})

    def __init__(self, path, device):
        self.path, self.fingerprint = path, str(path)

    def encode_semantic(self, images):
        return torch.nn.functional.avg_pool2d(images, 4).flatten(1)

    def decode(self, code, steps=100):
        return code.semantic.reshape(-1, 3, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)

NUMBER = 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "models.py").write_text(MODULE)
    (package / "broken.py").write_text("import nothing_of_that_name")
    monkeypatch.syspath_prepend(tmp_path)
    yield "their_package.models"
    for name in [name for name in sys.modules if name.startswith("their_package")]:
        del sys.modules[name]


def test_a_class_is_found_where_it_is_written(module):
    system = systems.load(f"{module}:Blocks", "weights")
    assert system.name == "Blocks" and system.title == "Blocks" and system.inner.path == "weights"
    assert "source" in system.fingerprint  # its code is part of what results are filed under
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert system.decode(system.encode(images)).shape == images.shape


def test_from_python_and_with_a_path(module, patches):
    found = evaluate(f"{module}:Blocks=a/path", "reconstruction", patches, "smoke").frame()
    assert set(found.system) == {"Blocks"}
    assert found[found.metric == "mse"].value.iloc[0] > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("their_package.models:Bloks", "cannot be imported"),
        ("their_package.modls:Blocks", "cannot be imported: ModuleNotFoundError"),
        ("their_package.broken:Blocks", "No module named 'nothing_of_that_name'"),
        ("their_package.models:NUMBER", "is not a class or function"),
        ("their package:Blocks", "expected package.module:factory, such as"),
        ("timm:resnet5", "did you mean resnet50"),
        ("timm:no such thing at all", "; there are 1,"),
        ("timm:resnet18", "needs its weights: --ckpt timm:resnet18=PATH"),
    ],
)
def test_what_is_not_there_is_one_line(module, name, words):
    with pytest.raises(UserError) as error:
        systems.load(name)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timm_looks_for_its_file_before_it_builds(tmp_path, monkeypatch, suffix):
    """A network may take gigabytes, and a pipe is never written to."""
    monkeypatch.setattr(timm, "create_model", None)
    os.mkfifo(tmp_path / f"pipe{suffix}")
    for name, reason in (("pipe", "a pipe, not a file"), ("nothing", "no such file")):
        path = tmp_path / f"{name}{suffix}"
        with pytest.raises(UserError) as error:
            systems.load("timm:resnet18", path)
        assert str(error.value) == f"{path}: {reason}"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--systems", "alone:Blocks", "--ckpt", "alone:Blocks=a/path"], ("alone:Blocks",)),
        (["--ckpt", "alone:Blocks=a/path"], ("alone:Blocks",)),
        (["--ckpt", "timm:resnet10t=a/path"], ("timm:resnet10t",)),
        (["--ckpt", "vqgan:Ours=a/path"], ("vqgan",)),
    ],
)
def test_a_checkpoint_says_its_system(tmp_path, monkeypatch, typed, expected):
    """A module without a package too: what is before the colon has no dot."""
    (tmp_path / "alone.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    found = options.parse(["reconstruction", *typed], None)
    assert found.systems == expected
    assert list(found.checkpoints.values()) == ["a/path"]


def test_what_a_checkpoint_may_have_meant_is_said(tmp_path, monkeypatch):
    """A name of the Hub has a prefix; a file of another system, or of one's own class,
    is named with it.
    """
    monkeypatch.chdir(tmp_path)
    torch.save({"a": torch.zeros(1)}, "weights.pt")
    name = "stabilityai/sd-vae-ft-mse"
    hub = f"a model on the Hub is hf://{name}"
    own = "--ckpt NAME=weights.pt (`list` has the names), or your own class: --ckpt module:Class=weights.pt"
    for given, words in ((name, hub), ("weights.pt", own), ("nothing.pt", "")):
        with pytest.raises(UserError) as error:
            options.parse(["reconstruction", "--ckpt", given], None)
        assert words in str(error.value) and ("on the Hub" in str(error.value)) == (words == hub)
    with pytest.raises(UserError, match=hub):
        systems.load("diffusers", name)


def test_a_class_that_needs_its_path_is_told_that_it_is_none(tmp_path, monkeypatch):
    (tmp_path / "needing.py").write_text(
        MODULE.replace("self.path, ", "open(path).close(); self.path, ")
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="its path is None; give one: --ckpt needing:Blocks=PATH"):
        systems.load("needing:Blocks")


def test_timm_itself_takes_no_file(tmp_path):
    """It would be measured under another's title."""
    with pytest.raises(UserError, match=r"timm has weights of its own.*timm:MODEL=PATH"):
        systems.load("timm", tmp_path / "resnet50.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_features_are_timms_own(tmp_path, suffix):
    torch.manual_seed(0)
    theirs = timm.create_model("resnet10t").eval()
    path = tmp_path / f"weights{suffix}"
    save_file(theirs.state_dict(), path) if suffix == ".safetensors" else torch.save(
        theirs.state_dict(), path
    )
    system = systems.load("timm:resnet10t", path)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    data = timm.data.resolve_model_data_config(theirs)
    x = torch.nn.functional.interpolate(
        (images + 1) / 2, data["input_size"][1:], mode="bilinear", antialias=True
    )
    mean, std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features((x - mean) / std), pre_logits=True)
    torch.testing.assert_close(system.encode_semantic(images), expected, atol=1e-5, rtol=1e-5)
    assert system.latent_dim == expected.shape[1] == 512
    assert system.name == "timm-resnet10t" and dict(system.describe())["input"] == 176


def test_weights_of_another_encoder_are_named(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(timm.create_model("resnet18").state_dict(), path)
    with pytest.raises(UserError, match="weights.pth: tensors missing"):
        systems.load("timm:resnet10t", path)
