"""Systems from names, paths, models in memory, and objects with `encode` and `decode`."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from dummies import Perfect
from torch import nn
from torch.nn.functional import avg_pool2d

from benchmarks import systems
from benchmarks.systems import Code, SystemFailed
from diffae import DDIM, DiffusionAutoencoder
from diffae.system.errors import UserError

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
    assert (system.title, system.name) == ("Linear", "linear")
    assert (system.latent_dim, system.image_size) == (8, SIZE)
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


class Normed(Linear):
    """It computes with all that a module can hold: weights, buffers, and plain values of its parts."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.register_buffer("shift", torch.zeros(8))
        self.norm.eval()

    def encode(self, images):
        return self.norm(super().encode(images)) + self.shift


def test_whatever_changes_what_a_model_computes_makes_it_another():
    """Also what no optimiser changes: statistics of batch norms, a codebook of moving averages."""
    model = Normed()
    x, seen = images(), {}
    held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name in (None, *held):
        before = held[name].clone() if name else None
        with torch.no_grad():
            if name:
                held[name] += 1
            system = systems.as_system(model)
            decoded = system.decode(system.encode(x))
            if name:
                held[name].copy_(before)
        seen[name] = (system.fingerprint, decoded)
    first, images_of_first = seen.pop(None)
    computing = {name for name, (_, made) in seen.items() if not torch.equal(made, images_of_first)}
    assert computing == set(held) - {"norm.num_batches_tracked"}
    assert not [name for name in computing if seen[name][0] == first]
    assert systems.as_system(model).fingerprint == first


def in_a_notebook(body: str) -> nn.Module:
    """A module whose class has no file, with a `decode` that does `body`."""
    cell = f"class Cell(nn.Module):\n  image_size = 8\n  def encode(self, x): return x\n  def decode(self, z): {body}\n"
    names = {"nn": nn, "__name__": "__main__"}
    exec(cell, names)
    return names["Cell"]()


def test_a_class_that_was_written_anew_in_a_notebook_is_another():
    bodies = ("return z", "return  z", "return -z", "return 0.5 * z", "return 0.6 * z")
    same, again, *others = (systems.as_system(in_a_notebook(b)).fingerprint for b in bodies)
    assert same == again and len({same, *others}) == 4


def test_an_object_that_is_no_module_shares_results_with_none():
    def thing():
        parts = SimpleNamespace(
            encode=lambda x: x.flatten(1), decode=lambda z: z.reshape(-1, 3, 8, 8)
        )
        return systems.as_system(systems.wrap(parts, image_size=8, title="Mine"))

    one, other = thing(), thing()
    assert one.fingerprint != other.fingerprint
    assert torch.equal(one.decode(one.encode(images())), images())
    assert one.networks() == {} and (one.title, one.name) == ("Mine", "mine")


def test_the_networks_of_an_object_are_its_modules_but_not_their_parts():
    thing = SimpleNamespace(net=Linear(), encode=half, image_size=SIZE, lines=3)
    thing.head, thing.other = thing.net.out, nn.ReLU()
    assert systems.as_system(thing).networks() == {"net": thing.net, "other": thing.other}


class Distribution:
    """As diffusers give it: the code is the mode."""

    def __init__(self, mean):
        self.mode = lambda: mean


def half(x):
    return avg_pool2d(x, 2)


def double(z):
    return z.repeat_interleave(2, -1).repeat_interleave(2, -2)


def tokens_of(x):
    return ((x + 1) * 7.5).round().long()


AUTOENCODERS = {
    "a map": (half, double, {"reading": "pooled"}, 48, 3),
    "levels": (lambda x: (half(x), x - double(half(x))), lambda z: double(z[0]) + z[1], {}, 240, 240),
    "layers": (lambda x: half(x).flatten(1)[:, None].repeat(1, 4, 1),
               lambda w: double(w.mean(1).reshape(-1, 3, 4, 4)), {"reading": "pooled", "axis": 1}, 192, 48),
    "tokens": (tokens_of, lambda z: z / 7.5 - 1, {"codebook": 16, "width": 2}, 384, 16),
    "a code": (lambda x: Code(half(x), x - double(half(x))), lambda c: double(c.semantic) + c.x_T, {}, 240, 48),
    "a distribution": (lambda x: SimpleNamespace(latent_dist=Distribution(half(x))),
                       lambda z: SimpleNamespace(sample=double(z)), {}, 48, 48),
    "latents": (lambda x: SimpleNamespace(latents=half(x)), lambda z: (double(z)), {}, 48, 48),
}  # fmt: skip


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_a_code_of_any_shape_is_taken_as_it_is(kind):
    encode, decode, options, latent_dim, width = AUTOENCODERS[kind]
    thing = SimpleNamespace(encode=encode, decode=decode)
    system = systems.as_system(systems.wrap(thing, image_size=SIZE, title="Mine", **options))
    x = tokens_of(images()) / 7.5 - 1
    code = system.encode(x)
    assert system.latent_dim == latent_dim
    assert system.read(code.semantic).shape == (4, width)
    exact = kind in ("levels", "tokens", "a code")
    torch.testing.assert_close(system.decode(code), x if exact else double(half(x)))
    assert system.code_bits == (192 * 4 if kind == "tokens" else None)


def test_a_codebook_is_found_where_the_model_has_it():
    quantize = SimpleNamespace(n_embed=20)
    thing = SimpleNamespace(
        image_size=SIZE, encode=tokens_of, decode=lambda z: z / 7.5 - 1, quantize=quantize
    )
    (part,) = systems.as_system(thing).semantic_parts
    assert (part.codebook, part.shape) == (20, (3, SIZE, SIZE))


def test_another_reading_is_another_system():
    model, fingerprints = Linear(), set()
    model.encode, model.decode = half, double
    for options in ({}, {"reading": "pooled"}, {"reading": "pooled", "axis": 1}):
        made = systems.wrap(model, image_size=SIZE, title="Mine", **options)
        fingerprints.add(systems.as_system(made).fingerprint)
    assert len(fingerprints) == 3


def test_names_paths_and_systems(untrained):
    assert systems.as_system("dummy-perfect").title == "dummy: perfect"
    assert systems.as_system("portraits").name == "diffae"
    for path in (f"ddim={untrained / 'ddim'}", untrained / "ddim", str(untrained / "ddim")):
        system = systems.as_system(path, title="Mine")
        assert (system.name, system.title) == ("ddim", "Mine")
    assert systems.as_system(Perfect(None, CPU)).name == "dummy-perfect"


def test_a_name_can_stand_in_a_files_name():
    system = Perfect(None, CPU)
    for system.name, found in (("../up", "perfect"), (None, "perfect"), ("a.b", "a.b")):
        assert systems.as_system(system).name == found
    made = systems.wrap(Linear(), image_size=SIZE, title="模型")
    assert made.name == "model" and systems.as_system(made).title == "模型"


@pytest.mark.parametrize(("kind", "name"), [(DiffusionAutoencoder, "diffae"), (DDIM, "ddim")])
def test_a_live_model_is_the_same_as_its_checkpoint(untrained, kind, name):
    model = kind.from_pretrained(untrained / name)
    ours, theirs = systems.as_system(model), systems.load(name, untrained / name)
    x = torch.linspace(-1, 1, 3 * 32**2).reshape(1, 3, 32, 32)
    code, same = (system.encode(x, 2) for system in (ours, theirs))
    assert torch.equal(code.x_T, same.x_T)
    assert torch.equal(ours.decode(code, 2), theirs.decode(same, 2))
    assert ours.latent_dim == theirs.latent_dim and ours.capabilities == theirs.capabilities
    assert ours.inner.model is model and ours.fingerprint.startswith("live-state-")


TOKENS = torch.zeros(1, 4, dtype=torch.int64)


def returning(value):
    return SimpleNamespace(image_size=8, encode=lambda x: value, decode=lambda z: images(len(z)))


class NoDecoder:
    def encode(self, images):
        return images


class NoEncoder:
    def decode(self, code):
        return code


REFUSED = [
    (NoDecoder(), "NoDecoder: has no image_size; give it"),
    (NoEncoder(), "NoEncoder: cannot be measured: it has no method encode"),
    (3, "int: cannot be measured: it has no method encode"),
    (Linear, "Linear: is a class; give an instance"),
    ("diffea", "unknown system 'diffea'; did you mean diffae?"),
    (Path("nowhere/model"), "nowhere/model: no such checkpoint"),
    (returning((images(1), 3)), "encode: gave tuple of Tensor, int; a code is"),
    (returning(images(2)), "encode: returned 2 x 3 x 8 x 8, not 1 x 3 x 8 x 8"),
    (SimpleNamespace(image_size=8, encode=lambda x: x, decode=lambda z: z[:, :2]),
     "decode: returned 1 x 2 x 8 x 8, not 1 x 3 x 8 x 8"),
]  # fmt: skip


@pytest.mark.parametrize(("thing", "words"), REFUSED)
def test_what_is_no_model_is_refused_in_one_line(thing, words):
    with pytest.raises(UserError) as refusal:
        systems.as_system(thing)
    assert words in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("thing", "options", "words"),
    [
        (Linear(), {"image_size": "8"}, "image_size must be a whole number from 1"),
        (Linear(), {"reading": "mean"}, "reading must be flat, pooled or histogram"),
        (Linear(), {"width": 2}, "width is the numbers that a token counts as"),
        (Linear(), {"title": 3}, "title must be one printable line"),
        (Linear(), {"codebook": -1}, "wrap: codebook -1: encode gave no whole numbers"),
        (returning(TOKENS), {"codebook": -1}, "wrap: codebook must be a whole number from 1 to .*, not -1"),
    ],
)  # fmt: skip
def test_options_of_wrap_that_do_not_fit_are_refused(thing, options, words):
    with pytest.raises(UserError, match=words):
        systems.wrap(thing, **{"image_size": SIZE, "title": "Mine"} | options)


def test_wrap_takes_size_and_title_from_the_object_and_a_key_goes_before():
    thing = SimpleNamespace(image_size=8, encode=half, decode=double)
    made = systems.wrap(thing)
    assert (made.image_size, made.title) == (8, "SimpleNamespace")
    of_config = SimpleNamespace(config=SimpleNamespace(sample_size=16), title="Own", encode=half)
    made = systems.wrap(of_config, reading="pooled")
    assert (made.image_size, made.title, made.name) == (16, "Own", "own")
    assert systems.as_system(made, title="Key").title == "Key"
    assert systems.wrap(of_config, image_size=8, title="Given").title == "Given"
    for wrong in (None, "two\nlines", len):
        of_config.title = wrong
        assert systems.wrap(of_config).title == "SimpleNamespace"


@pytest.mark.parametrize("kind", sorted(AUTOENCODERS.keys() - {"layers"}))
def test_a_model_of_any_size_has_the_code_of_its_own_size_and_takes_others(kind):
    encode, decode, options, latent_dim, _ = AUTOENCODERS[kind]
    thing = SimpleNamespace(encode=encode, decode=decode)
    made = systems.wrap(thing, image_size=SIZE, title="Mine", stride=2, **options)
    system = systems.as_system(made)
    assert all(part.shape == (3, None, None) for part in system.semantic_parts)
    assert (system.stride, system.latent_dim) == (2, latent_dim)
    assert system.code_bits == (192 * 4 if kind == "tokens" else None)
    wide = torch.zeros(1, 3, 4, 10)
    assert system.decode(system.encode(wide)).shape == wide.shape


def test_a_model_that_does_not_take_other_sizes_has_no_stride():
    thing = SimpleNamespace(encode=half, decode=double)
    with pytest.raises(UserError, match="stride 3: image_size 8 must be a multiple of it"):
        systems.wrap(thing, image_size=SIZE, stride=3)
    with pytest.raises(SystemFailed, match="decode: returned 1 x 3 x 8 x 10, not 1 x 3 x 9 x 10"):
        systems.wrap(thing, image_size=SIZE, stride=1)
    with pytest.raises(SystemFailed, match="encode: raised RuntimeError"):
        systems.wrap(Linear(), stride=2)
