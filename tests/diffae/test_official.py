"""The authors' files: what they hold is loaded, nothing in them runs, and every fault is named."""

import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from official_files import KEYS, network, state_dict, write_lightning

from diffae import DDIM, DiffusionAutoencoder, convert
from diffae.checkpoint import open_checkpoint
from diffae.config import ARCHITECTURES, ModelConfig
from diffae.errors import UserError
from diffae.official import expected_shapes, infer_config, read_classifier, read_latents
from diffae.torch_file import TorchFile, _rebuild_tensor, _Storage

TINY = replace(
    ARCHITECTURES["celeba64d2c_autoenc_latent"],
    model_channels=32,
    channel_mult=(1, 2),
    encoder_channel_mult=(1, 2, 2),
    z_channels=64,
    image_size=32,
    latent=replace(ARCHITECTURES["celeba64d2c_autoenc_latent"].latent, hidden_channels=64),
)


def tiny_state(config: ModelConfig = TINY) -> dict[str, torch.Tensor]:
    """A small model's state_dict, as Lightning saves it."""
    state: dict[str, torch.Tensor] = {"x_T": torch.zeros(32, 3, 32, 32)}
    for seed, (name, shape) in enumerate(expected_shapes(config).items()):
        generator = torch.Generator().manual_seed(seed)
        state[name] = 0.1 * torch.randn(shape, generator=generator)
    for name in state:
        if ".linear_emb." in name:
            state[name] = state[name.replace(".linear_emb.", ".cond_layers.1.")]
    ema = {n: t for n, t in state.items() if n.startswith("ema_model.")}
    return state | {n.removeprefix("ema_"): t + 1 for n, t in ema.items()}


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
    shapes = expected_shapes(config) | {"x_T": torch.Size((32, 3, *[config.image_size] * 2))}
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


def test_the_baseline_is_loaded(tmp_path):
    config = replace(TINY, kind="ddim", encoder_channel_mult=(), z_channels=512, latent=None)
    path = write_lightning(tmp_path / "ddim.ckpt", tiny_state(config))
    model = DDIM.from_pretrained(path)
    assert model.config == config
    assert model.decode(torch.randn(1, 3, 32, 32), steps=2).shape == (1, 3, 32, 32)
    with pytest.raises(UserError, match="holds a ddim, not a diffusion_autoencoder"):
        DiffusionAutoencoder.from_pretrained(path)


def test_half_precision_and_strided_tensors_are_read(tiny):
    state = tiny_state()
    name = "ema_model.input_blocks.1.0.in_layers.2.weight"
    wanted = state[name].clone()
    state[name] = wanted.to(memory_format=torch.channels_last)  # not contiguous
    state["conds_mean"] = state["conds_mean"].half()
    big = torch.arange(300.0)
    state["ema_model.out.2.bias"] = big[100:103]  # a view into a larger storage
    write_lightning(tiny, state)
    loaded = DiffusionAutoencoder.from_pretrained(tiny).state_dict()
    assert torch.equal(loaded["unet.input_blocks.1.0.in_layers.2.weight"], wanted)
    assert loaded["z_mean"].dtype == torch.float32
    assert loaded["unet.out.2.bias"].tolist() == [100, 101, 102]


def test_contradicting_aliases_are_told(tiny):
    state = tiny_state()
    name = "ema_model.latent_net.layers.3.linear_emb.weight"
    state[name] = state[name] + 1
    write_lightning(tiny, state)
    with pytest.warns(UserWarning, match=r"layers\.3\.linear_emb\.weight and .* differ"):
        DiffusionAutoencoder.from_pretrained(tiny)


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
    assert torch.equal(classifier.weight, state["classifier.weight"])
    assert torch.equal(classifier.bias, state["classifier.bias"])
    assert torch.equal(classifier.z_std, state["conds_std"])
    with pytest.raises(UserError, match="it holds a classifier"):
        DiffusionAutoencoder.from_pretrained(path)
    del state["classifier.bias"]
    with pytest.raises(UserError, match="lacks classifier.bias"):
        read_classifier(write_lightning(path, state))
    state["classifier.bias"] = torch.zeros(39)
    with pytest.raises(UserError, match="do not fit"):
        read_classifier(write_lightning(path, state))


def test_latent_pkl(tmp_path):
    z = torch.randn(7, 512)
    path = tmp_path / "latent.pkl"
    torch.save({"conds": z, "conds_mean": z.mean(0), "conds_std": z.std(0)}, path)
    latents = read_latents(path)
    assert torch.equal(latents.z, z)
    assert torch.equal(latents.z_mean, z.mean(0, keepdim=True))
    torch.save({"conds": z}, path)
    with pytest.raises(UserError, match="lacks conds_mean, conds_std"):
        read_latents(path)


# ----------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda s: s.pop("conds_mean"), "tensors missing: conds_mean"),
        (lambda s: s.pop("ema_model.time_embed.time_embed.0.weight"), "time_embed"),
        (
            lambda s: s.pop("ema_model.encoder.out.3.weight"),
            r"tensors missing: ema_model\.encoder\.out\.3\.weight$",
        ),
        (
            lambda s: s.pop("ema_model.input_blocks.1.0.in_layers.2.weight"),
            r"tensors missing: ema_model\.input_blocks\.1\.0\.in_layers\.2\.weight$",
        ),
        (
            lambda s: s.pop("ema_model.latent_net.layers.2.linear_emb.bias"),
            r"tensors missing: ema_model\.latent_net\.layers\.2\.linear_emb\.bias$",
        ),
        (
            lambda s: s.update({"ema_model.extra": torch.zeros(1)}),
            r"not part of the model: ema_model\.extra$",
        ),
        (lambda s: s.update({"surprise": torch.zeros(1)}), "not part of the model: surprise$"),
        (
            lambda s: s.update({"ema_model.encoder.out.3.bias": torch.zeros(3)}),
            r"of another shape: ema_model\.encoder\.out\.3\.bias \[3\] instead of \[64\]$",
        ),
        (
            lambda s: s.update(
                {"ema_model.input_blocks.1.0.cond_emb_layers.1.weight": torch.zeros(32, 7)}
            ),
            r"cond_emb_layers\.1\.weight \[32, 7\] instead of \[32, 64\]$",
        ),
        (
            lambda s: s["ema_model.out.2.bias"].fill_(float("inf")),
            r"tensors not finite: unet\.out\.2\.bias",
        ),
        (lambda s: s.update({"note": "text"}), "holds note, which is not a tensor"),
    ],
)
def test_faulty_tensors_are_named(tiny, change, message):
    state = tiny_state()
    change(state)
    write_lightning(tiny, state)
    with pytest.raises(UserError, match=message):
        DiffusionAutoencoder.from_pretrained(tiny)


class Payload:
    """Creates a file when it is unpickled by a loader that trusts it."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("where", ["callbacks", "hyper_parameters", "state_dict"])
def test_a_hostile_pickle_runs_nothing(tiny, where):
    proof = tiny.parent / "it ran"
    more = {where: {"x": Payload(proof)}}
    if where == "state_dict":
        more = {where: tiny_state() | {"x": Payload(proof)}}
    write_lightning(tiny, tiny_state(), **more)
    if where == "state_dict":
        with pytest.raises(UserError, match="holds x, which is not a tensor"):
            DiffusionAutoencoder.from_pretrained(tiny)
    else:
        DiffusionAutoencoder.from_pretrained(tiny)
    assert not proof.exists()


def test_the_payload_would_have_run(tmp_path):
    """The test above can fail: a loader that trusts the file does run it."""
    torch.save({"x": Payload(tmp_path / "it ran")}, tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert (tmp_path / "it ran").exists()


def rewrite(path: Path, change, compression: int = zipfile.ZIP_STORED) -> None:
    """Write a zip archive again with the content of some entries, or their names, changed."""
    with zipfile.ZipFile(path) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in change(entries).items():
            file.writestr(name, data)


def with_pickle(data: bytes):
    return lambda entries: {n: data if n.endswith("data.pkl") else d for n, d in entries.items()}


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2]), "not a zip archive"),
        (lambda p: p.write_bytes(b""), "not a zip archive"),
        (lambda p: p.write_bytes(b"not a checkpoint"), "not a zip archive"),
        (lambda p: rewrite(p, lambda e: {"readme": b""}), "not one that torch.save wrote"),
        (
            lambda p: rewrite(p, lambda e: {"../" + n: d for n, d in e.items()}),
            "not one that torch",
        ),
        (lambda p: rewrite(p, with_pickle(b"\x80\x02garbage")), "its pickle does not load"),
        (lambda p: rewrite(p, with_pickle(b"")), "its pickle does not load"),
        (lambda p: rewrite(p, with_pickle(pickle.dumps([1, 2]))), "it has no state_dict"),
        (lambda p: rewrite(p, with_pickle(b"r\xff\xff\xff\xff.")), "its pickle does not load"),
        (
            lambda p: rewrite(p, lambda e: {n: d for n, d in e.items() if "data/1" not in n}),
            "does not read",
        ),
        (
            lambda p: rewrite(
                p,
                lambda e: (
                    {n: d[: len(d) // 2] for n, d in e.items() if 1}
                    | {n: d for n, d in e.items() if n.endswith("data.pkl")}
                ),
            ),
            "plain bytes",
        ),
    ],
)
def test_a_damaged_file_is_one_line(tiny, damage, message):
    damage(tiny)
    with pytest.raises(UserError, match=message) as error:
        DiffusionAutoencoder.from_pretrained(tiny)
    assert str(tiny) in str(error.value) and "\n" not in str(error.value)


def test_a_pickle_that_unpacks_is_refused(tiny):
    """torch.save compresses nothing, so no more is read than the file holds."""
    rewrite(tiny, lambda entries: entries, zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"damaged: .*data\.pkl does not hold plain bytes"):
        DiffusionAutoencoder.from_pretrained(tiny)


@pytest.mark.parametrize(
    ("shape", "stride"), [((10**6, 10**6), (0, 0)), ((-1, 2), (2, 1)), ((2, 2), (1,))]
)
def test_a_tensor_larger_than_its_storage_is_refused(tmp_path, shape, stride):
    """`expand` makes terabytes of one number."""
    storage = _Storage("0", torch.float32, 4)
    torch.save({"conds": torch.zeros(2, 2)}, tmp_path / "latent.pkl")
    with TorchFile(tmp_path / "latent.pkl") as file, pytest.raises((UserError, UnpicklingError)):
        file.read(_rebuild_tensor(storage, 0, shape, stride))


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


def test_a_flipped_bit_in_the_weights_is_found(tiny):
    data = bytearray(tiny.read_bytes())
    wanted = tiny_state()["ema_model.encoder.out.3.weight"].numpy().tobytes()
    data[data.index(wanted)] ^= 1
    tiny.write_bytes(data)
    with pytest.raises(UserError, match="CRC"):
        DiffusionAutoencoder.from_pretrained(tiny)


# ----------------------------------------------------------------------------------------------
# Conversion


def test_a_converted_model_gives_identical_outputs(tiny, tmp_path, capsys):
    out = tmp_path / "converted"
    convert.main([str(tiny), str(out)])
    assert "diffusion_autoencoder, 32 px" in capsys.readouterr().out
    assert sorted(file.name for file in out.iterdir()) == ["config.json", "model.safetensors"]
    a, b = (DiffusionAutoencoder.from_pretrained(p) for p in (tiny, out))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    z = a.encode(images)
    assert torch.equal(z, b.encode(images))
    x_T = a.encode_stochastic(images, z, steps=3)
    assert torch.equal(x_T, b.encode_stochastic(images, z, steps=3))
    assert torch.equal(a.decode(z, x_T, steps=3), b.decode(z, x_T, steps=3))
    assert torch.equal(
        a.sample_latents(torch.ones(2, 64), steps=3), b.sample_latents(torch.ones(2, 64), steps=3)
    )


def test_conversion_writes_nothing_over_and_names_what_is_wrong(tiny, tmp_path):
    (tmp_path / "here").mkdir()
    for source, out in ((tiny, tmp_path / "here"), (tmp_path / "nowhere.ckpt", tmp_path / "new")):
        command = [sys.executable, "-m", "diffae.convert", str(source), str(out)]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 2
        assert result.stderr.count("\n") == 1 and str(tmp_path) in result.stderr
    assert not (tmp_path / "new").exists()


# ----------------------------------------------------------------------------------------------
# Full size


MEASURE = """
import resource, sys, time
import torch
from diffae import DDIM, DiffusionAutoencoder
from diffae.unet import UNet
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
model = globals()[sys.argv[1]].from_pretrained(sys.argv[2])
seconds = time.perf_counter() - start
weights = sum(t.nbytes for t in model.state_dict().values())
peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
print(weights, peak, seconds)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "configuration, size, model",
    [
        ("ffhq128_autoenc_130M", 128, "DiffusionAutoencoder"),
        ("ffhq128_autoenc_latent", 128, "DiffusionAutoencoder"),
        ("celeba64d2c_autoenc_latent", 64, "DiffusionAutoencoder"),
        ("ffhq128_ddpm_130M", 128, "DDIM"),
    ],
)
def test_full_size_files_load_in_little_more_than_their_ema_weights(
    configuration, size, model, tmp_path, write_lightning
):
    """Raw copy, EMA copy and Adam's two moments, as a released file has them (about 2 GB)."""
    state = state_dict(configuration, size, complete=True)
    moments = {
        i: {"step": 1, "exp_avg": torch.zeros_like(t), "exp_avg_sq": torch.zeros_like(t)}
        for i, t in enumerate(network(configuration).values())
    }
    path = write_lightning(tmp_path / "last.ckpt", state, optimizer_states=[{"state": moments}])
    del state, moments
    command = [sys.executable, "-c", MEASURE, model, str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    weights, peak, seconds = map(float, result.stdout.split())
    print(
        f"{configuration}: file {path.stat().st_size / 1e9:.2f} GB, weights {weights / 1e9:.2f} GB, "
        f"peak {peak / weights:.2f} of them, {seconds:.1f} s"
    )
    shutil.rmtree(tmp_path)
    assert peak < 1.5 * weights


def test_a_full_size_file_is_read_as_a_checkpoint(celeba64_latent):
    found = open_checkpoint(celeba64_latent)
    assert found.config == ARCHITECTURES["celeba64d2c_autoenc_latent"]
