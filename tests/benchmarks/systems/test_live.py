"""Systems of what is at hand: names, paths, models in memory, and objects with `encode` and `decode`."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import systems
from benchmarks.systems import SystemFailed
from benchmarks.systems.dummy import Perfect
from diffae import DDIM, DiffusionAutoencoder
from diffae.errors import UserError

CPU = torch.device("cpu")
SIZE = 8


class Linear(nn.Module):
    """An autoencoder of 8 numbers whose dropout shows whether it is in evaluation mode."""

    image_size = SIZE

    def __init__(self, scale: float = 0.5):
        super().__init__()
        torch.manual_seed(0)
        self.scale = scale
        self.into, self.out = nn.Linear(3 * SIZE**2, 8), nn.Linear(8, 3 * SIZE**2)
        self.dropout = nn.Dropout(0.5)

    def encode(self, images):
        return self.dropout(self.into(images.flatten(1)))

    def decode(self, code):
        return torch.tanh(self.scale * self.out(code)).reshape(-1, 3, SIZE, SIZE)


def images(count=4):
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_an_object_with_encode_and_decode_is_a_system():
    model, x = Linear(), images()
    system = systems.as_system(model)
    assert (system.title, system.name, system.latent_dim, system.image_size) == (
        "Linear",
        "linear",
        8,
        SIZE,
    )
    expected = model.into(x.flatten(1))
    code = system.encode(x)
    torch.testing.assert_close(code.semantic, expected)
    reconstruction = torch.tanh(0.5 * model.out(expected)).reshape(-1, 3, SIZE, SIZE)
    torch.testing.assert_close(system.decode(code), reconstruction)
    assert not system.decode(code).requires_grad
    assert system.networks() == {"model": model}


def test_a_model_in_training_stays_in_training():
    model = Linear()
    model.into.eval()
    system = systems.as_system(model)
    assert torch.equal(system.encode(images()).semantic, system.encode(images()).semantic)
    assert model.training and model.dropout.training and not model.into.training
    assert torch.is_grad_enabled()


def test_a_model_that_learned_is_another_and_the_same_one_is_the_same():
    model = Linear()
    system = systems.as_system(model)
    before = system.fingerprint
    assert before == systems.as_system(Linear()).fingerprint
    assert before != systems.as_system(Linear(scale=0.6)).fingerprint
    with torch.no_grad():
        model.out.weight[0, 0] += 1e-6
    assert systems.as_system(model).fingerprint != before
    assert systems.as_system(system).fingerprint != before


def test_an_object_that_is_no_module_shares_results_with_none():
    def thing():
        return SimpleNamespace(
            encode=lambda x: x.flatten(1), decode=lambda z: z.reshape(-1, 3, 8, 8)
        )

    one, other = (systems.wrap(thing(), image_size=8, title="Mine") for _ in range(2))
    one, other = systems.as_system(one), systems.as_system(other)
    assert one.fingerprint != other.fingerprint
    assert torch.equal(one.decode(one.encode(images())), images())
    assert one.networks() == {} and (one.title, one.name) == ("Mine", "mine")


def test_names_paths_and_systems(untrained):
    assert systems.as_system("dummy-perfect").title == "dummy: perfect"
    assert systems.as_system("portraits").name == "diffae"
    for path in (f"ddim={untrained / 'ddim'}", untrained / "ddim", str(untrained / "ddim")):
        system = systems.as_system(path, title="Mine")
        assert (system.name, system.title) == ("ddim", "Mine")
    assert systems.as_system(Perfect(None, CPU)).name == "dummy-perfect"


@pytest.mark.parametrize(("kind", "name"), [(DiffusionAutoencoder, "diffae"), (DDIM, "ddim")])
def test_a_live_model_is_the_same_as_its_checkpoint(untrained, kind, name):
    model = kind.from_pretrained(untrained / name)
    ours, theirs = systems.as_system(model), systems.load(name, untrained / name)
    x = torch.linspace(-1, 1, 3 * 32**2).reshape(1, 3, 32, 32)
    code, same = (system.encode(x, 2) for system in (ours, theirs))
    assert torch.equal(code.x_T, same.x_T) and torch.equal(
        ours.decode(code, 2), x * 0 + theirs.decode(same, 2)
    )
    assert ours.latent_dim == theirs.latent_dim and ours.capabilities == theirs.capabilities
    assert ours.inner.model is model and ours.fingerprint.startswith("live-state-")


def returning(value):
    return SimpleNamespace(image_size=8, encode=lambda x: value, decode=lambda z: images(len(z)))


class NoDecoder:
    def encode(self, images):
        return images


REFUSED = [
    (NoDecoder(), "NoDecoder: is no model that can be measured: it has no method decode"),
    (3, "int: is no model that can be measured: it has no method encode"),
    (Linear, "Linear: is a class; give a model made of it"),
    (SimpleNamespace(encode=len, decode=len), "SimpleNamespace: does not say for which images"),
    ("diffea", "unknown system 'diffea'; did you mean diffae?"),
    (Path("nowhere/model"), "nowhere/model: no such checkpoint"),
    (returning(3), "encode: encode gave int, not a tensor"),
]  # fmt: skip


@pytest.mark.parametrize(("thing", "words"), REFUSED)
def test_what_is_no_model_is_refused_in_one_line(thing, words):
    with pytest.raises(UserError) as refusal:
        systems.as_system(thing)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_object_that_raises_is_named_with_its_method():
    def broken(images):
        raise ValueError("no such layer")

    thing = SimpleNamespace(image_size=8, encode=broken, decode=len)
    with pytest.raises(SystemFailed, match=r"encode: raised ValueError: no such layer \(test_live"):
        systems.as_system(thing)
