"""The authors' files: their contents are loaded, and every wrong tensor is named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from official_files import KEYS, TINY, tiny_state, write_lightning
from refusal import refusal

from diffae import DiffusionAutoencoder, convert
from diffae.checkpoints.official import expected_shapes, infer_config, read_classifier
from diffae.networks.config import ARCHITECTURES
from diffae.system.errors import UserError


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_lightning(tmp_path / "last.ckpt", tiny_state())


# ----------------------------------------------------------------------------------------------
# What is loaded


@pytest.mark.parametrize("path", sorted(KEYS.glob("*.txt")), ids=lambda path: path.stem)
def test_configurations_are_inferred_from_names_and_shapes(path):
    config = ARCHITECTURES[path.stem]
    shapes = {n: t.shape for n, t in _shapes_of(path).items()}
    assert (
        infer_config(shapes | {"x_T": torch.Size((32, 3, *[config.image_size] * 2))}, "x") == config
    )
    assert infer_config(shapes, "without x_T") == config


def _shapes_of(path: Path) -> dict[str, torch.Tensor]:
    rows = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    shapes = {f"ema_model.{n}": [int(k) for k in s.strip("[]").split(",")] for n, s, _ in rows}
    if path.stem.endswith("_latent"):
        shapes |= {"conds_mean": [1, 512], "conds_std": [1, 512]}
    return {n: torch.empty(s, device="meta") for n, s in shapes.items()}


@pytest.mark.parametrize(
    "config",
    [
        *ARCHITECTURES.values(),
        *(replace(ARCHITECTURES["ffhq128_autoenc_130M"], z_channels=d) for d in (64, 128, 256)),
        replace(TINY, latent=None),
        TINY,
    ],
    ids=str,
)
def test_every_configuration_is_inferred_from_its_own_shapes(config):
    shapes = {**expected_shapes(config)} | {"x_T": torch.Size((32, 3, *[config.image_size] * 2))}
    assert infer_config(shapes, "x") == config


def test_the_ema_copy_is_loaded_and_the_statistics_with_it(tiny):
    model = DiffusionAutoencoder.from_pretrained(tiny)
    state, loaded = tiny_state(), model.state_dict()
    assert torch.equal(loaded["unet.out.2.bias"], state["ema_model.out.2.bias"])
    assert torch.equal(loaded["encoder.out.3.bias"], state["ema_model.encoder.out.3.bias"])
    assert torch.equal(loaded["z_std"], state["conds_std"])
    name = "latent_net.layers.1.linear_emb.weight"
    assert torch.equal(loaded[name], state["ema_model.latent_net.layers.1.cond_layers.1.weight"])
    assert {t.device.type for t in loaded.values()} == {"cpu"}
    assert not any(p.requires_grad for p in model.parameters())


def test_the_folder_of_the_file_will_do_and_so_will_a_file_without_the_raw_copy(tiny):
    stripped = {n: t for n, t in tiny_state().items() if not n.startswith("model.")}
    bare = write_lightning(tiny.parent / "bare.ckpt", stripped)
    a, b = (DiffusionAutoencoder.from_pretrained(p).state_dict() for p in (tiny.parent, bare))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_classifiers_give_the_raw_weights_and_their_statistics(tmp_path):
    state = {
        "conds_mean": torch.full((1, 512), 0.5),
        "conds_std": torch.full((1, 512), 2.0),
        "classifier.weight": torch.randn(40, 512),
        "classifier.bias": torch.randn(40),
        "ema_classifier.weight": torch.zeros(40, 512),
        "ema_classifier.bias": torch.zeros(40),
    }
    path = write_lightning(tmp_path / "cls.ckpt", state)
    classifier = read_classifier(path)
    assert torch.equal(classifier["weight"], state["classifier.weight"])
    assert torch.equal(classifier["bias"], state["classifier.bias"])
    assert torch.equal(classifier["mean"], state["conds_mean"][0])
    assert torch.equal(classifier["std"], state["conds_std"][0])
    with pytest.raises(UserError, match="it holds a classifier"):
        DiffusionAutoencoder.from_pretrained(path)
    without = {name: tensor for name, tensor in state.items() if name != "classifier.bias"}
    for other, message in (
        (state | {"surprise": torch.zeros(1)}, "not part of a classifier: surprise"),
        (state | {"conds_std": torch.full((1, 512), torch.nan)}, "not finite: conds_std"),
        (without, "lacks classifier.bias"),
        (state | {"classifier.bias": torch.zeros(39)}, "do not fit"),
    ):
        with pytest.raises(UserError, match=message):
            read_classifier(write_lightning(path, other))


# ----------------------------------------------------------------------------------------------
# What is refused


BIAS, BLOCK = "ema_model.encoder.out.3.bias", "ema_model.input_blocks.1.0"
LAYERS = "ema_model.latent_net.layers"
NORMS = [f"{LAYERS}.{i}.norm.bias" for i in range(5)]


@pytest.mark.parametrize(
    ("gone", "more", "message"),
    [
        (["conds_mean"], {}, "tensors missing: conds_mean"),
        (["ema_model.time_embed.time_embed.0.weight"], {}, "time_embed"),
        ([BIAS], {}, f"tensors missing: {BIAS}$"),
        ([f"{BLOCK}.in_layers.2.weight"], {}, f"tensors missing: {BLOCK}.in_layers.2.weight$"),
        ([f"{LAYERS}.2.linear_emb.bias"], {}, f"tensors missing: {LAYERS}.2.linear_emb.bias$"),
        ([], {"ema_model.extra": torch.zeros(1)}, "not part of the model: ema_model.extra$"),
        (
            [BIAS],
            {"ema_model.renamed": torch.zeros(64)},
            f"tensors missing: {BIAS}; not part of the model: ema_model.renamed$",
        ),
        (NORMS, {}, ", ".join(NORMS) + "$"),
        ([], {"surprise": torch.zeros(1)}, "not part of the model: surprise$"),
        ([], {BIAS: torch.zeros(3)}, rf"of a different shape: {BIAS} \[3\] instead of \[64\]$"),
        (
            [],
            {f"{BLOCK}.cond_emb_layers.1.weight": torch.zeros(32, 7)},
            r"cond_emb_layers.1.weight \[32, 7\] instead of \[32, 64\]$",
        ),
        (
            [],
            {"ema_model.out.2.bias": torch.full((3,), torch.inf)},
            "tensors not finite: unet.out.2.bias",
        ),
        ([], {"note": "text"}, "holds note, which is not a tensor"),
    ],
)
def test_faulty_tensors_are_named(tmp_path, gone, more, message):
    state = {name: tensor for name, tensor in tiny_state().items() if name not in gone} | more
    with pytest.raises(UserError, match=message):
        DiffusionAutoencoder.from_pretrained(write_lightning(tmp_path / "last.ckpt", state))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("ema_model.output_blocks.999999999.1.in_layers.2.weight", (1,)),
        ("ema_model.output_blocks.900.1.in_layers.2.weight", (1,)),
        ("x_T", (1, 3, 2**40, 2**40)),
    ],
)
def test_names_and_shapes_do_not_ask_for_endless_networks(name, shape):
    shapes = expected_shapes(TINY) | {name: torch.Size(shape)}
    with pytest.raises(UserError, match=r"last\.ckpt: "):
        infer_config(shapes, "last.ckpt")


def test_a_checkpoint_of_no_channels_is_refused():
    shapes = {name: torch.Size([0] * len(shape)) for name, shape in expected_shapes(TINY).items()}
    with pytest.raises(UserError, match=r"last\.ckpt: tensors missing"):
        infer_config(shapes, "last.ckpt")


# ----------------------------------------------------------------------------------------------
# Conversion


def test_a_converted_model_gives_identical_outputs(tiny, tmp_path, capsys):
    out = tmp_path / "converted"
    convert.main([str(tiny), str(out)])
    assert "diffusion_autoencoder, 32 px" in capsys.readouterr().out
    names = sorted(file.name for file in out.iterdir())
    assert names == ["README.md", "config.json", "model.safetensors"]
    a, b = (DiffusionAutoencoder.from_pretrained(p) for p in (tiny, out))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1

    def outputs(model):
        z = model.encode(images)
        x_T = model.encode_stochastic(images, z, steps=2)
        samples = model.sample_latents(torch.ones(2, 64), steps=2)
        return z, x_T, model.decode(z, x_T, steps=2), samples

    assert all(map(torch.equal, outputs(a), outputs(b)))


def test_weights_are_aligned_alike_wherever_they_came_from(tiny, tmp_path):
    """At full size, outputs of weights at odd addresses differ in their last digits."""
    convert.main([str(tiny), str(tmp_path / "converted")])
    for path in (tiny, tmp_path / "converted"):
        state = DiffusionAutoencoder.from_pretrained(path).state_dict()
        assert {tensor.data_ptr() % 64 for tensor in state.values()} == {0}


def test_conversion_writes_nothing_over_and_names_what_is_wrong(tiny, tmp_path, capsys):
    (tmp_path / "here").mkdir()
    for source, out in ((tiny, tmp_path / "here"), (tmp_path / "nowhere.ckpt", tmp_path / "new")):
        assert str(tmp_path) in refusal(convert.main, capsys, source, out)
    assert not (tmp_path / "new").exists()
