"""Our checkpoints: a written file loads again, and every fault of a file is named."""

import json
import math
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from refusal import refused_file
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from diffae.checkpoints import checkpoint
from diffae.checkpoints.checkpoint import open_checkpoint
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.system.errors import UserError
from diffae.train.presets import PRESETS


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    torch.manual_seed(0)
    model = DiffusionAutoencoder(PRESETS["smoke"].model)
    model.z_mean.fill_(0.25)
    folder = tmp_path_factory.mktemp("saved") / "model"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def edit(folder, change):
    state = load_file(folder / "model.safetensors")
    save_file(change(state), folder / "model.safetensors")


def test_a_saved_model_loads_with_equal_outputs(folder):
    a = DiffusionAutoencoder.from_pretrained(folder)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    a.save_pretrained(folder.parent / "again")
    b = DiffusionAutoencoder.from_pretrained(folder.parent / "again")
    assert torch.equal(a.encode(images), b.encode(images))
    assert torch.equal(a.z_mean, torch.full_like(a.z_mean, 0.25))
    again = open_checkpoint(folder.parent / "again")
    assert open_checkpoint(folder).fingerprint() == again.fingerprint()
    assert not any(parameter.requires_grad for parameter in a.parameters())


def test_half_precision_files_give_single_precision_models(folder):
    model = DiffusionAutoencoder.from_pretrained(folder)
    model.save_pretrained(folder.parent / "half", torch.float16)
    half = DiffusionAutoencoder.from_pretrained(folder.parent / "half")
    assert {p.dtype for p in half.parameters()} == {torch.float32}
    name = "encoder.out.3.weight"
    assert torch.allclose(half.state_dict()[name], model.state_dict()[name], atol=1e-3)


def test_a_model_of_another_kind_is_refused(folder):
    with pytest.raises(UserError, match="holds a diffusion_autoencoder, not a ddim"):
        DDIM.from_pretrained(folder)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint"):
        DiffusionAutoencoder.from_pretrained(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"model\.safetensors and config\.json"):
        DiffusionAutoencoder.from_pretrained(tmp_path / "empty")
    with pytest.raises(UserError, match="file: damaged, cut short or of another format"):
        (tmp_path / "file").write_text(json.dumps({}))
        DiffusionAutoencoder.from_pretrained(tmp_path / "file")


def test_sampling_latents_needs_a_latent_ddim():
    model = DiffusionAutoencoder(replace(PRESETS["smoke"].model, latent=None))
    with pytest.raises(UserError, match="no latent DDIM"):
        model.sample_latents(2)


# ----------------------------------------------------------------------------------------------
# What a stranger's checkpoint may hold


def raw(header, data=b"", length=None):
    """A safetensors file whose header says what it likes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(start, end, dtype="F32", shape=(4,)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


LYING = {
    "longer than the file": raw({}, length=10_000),
    "longer than any memory": raw({}, length=2**63),
    "not JSON": raw(b"{" * 100),
    "nested": raw(b'{"a":' + b"[" * 50_000),
    "offsets outside": raw({"a": tensor(0, 16)}, bytes(8)),
    "offsets backwards": raw({"a": tensor(16, 0)}, bytes(16)),
    "overlapping": raw({"a": tensor(0, 16), "b": tensor(8, 24)}, bytes(24)),
    "a gap": raw({"a": tensor(0, 16), "b": tensor(24, 40)}, bytes(40)),
    "more than it says": raw({"a": tensor(0, 16)}, bytes(99)),
    "another shape": raw({"a": tensor(0, 16, shape=(2**40, 2**40))}, bytes(16)),
    "a dtype of its own": raw({"a": tensor(0, 16, dtype="F31")}, bytes(16)),
    "empty": b"",
    "a pickle": b"\x80\x02cos\nmkdir\nX\x04\x00\x00\x00evil\x85R.",
}


@pytest.mark.parametrize("lie", LYING)
def test_a_header_that_lies_is_one_line(folder, lie):
    (folder / "model.safetensors").write_bytes(LYING[lie])
    path = folder / "model.safetensors"
    line = refused_file(lambda _: DiffusionAutoencoder.from_pretrained(folder), path)
    assert line.startswith(f"{path}: not readable") and "download it again" in line
    assert not (folder / "evil").exists()


def full(value, dtype=torch.float32):
    return torch.full((1, 256), value, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("z_mean", None, "tensors missing: z_mean"),
        ("extra", torch.zeros(1), "not part of the model: extra"),
        ("z_mean", torch.zeros(1, 7), "of a different shape: z_mean"),
        ("z_mean", torch.zeros(0), "of a different shape: z_mean"),
        ("z_mean", full(math.nan), "not finite: z_mean"),
        ("z_mean", full(-math.inf), "not finite: z_mean"),
        ("z_mean", full(1e300, torch.float64), "not finite: z_mean"),
        ("z_mean", full(3e38), "more than 1e.18, with which float32 cannot compute: z_mean"),
        ("z_mean", full(-1e19, torch.float64), "more than 1e.18, with which float32 cannot .*: z_"),
        ("z_mean", full(1, torch.int64), "of a dtype other than .*: z_mean"),
        ("z_mean", full(1, torch.bool), "of a dtype other than .*: z_mean"),
        ("z_mean", full(1, torch.complex64), "of a dtype other than .*: z_mean"),
        ("z_mean", full(1, torch.float8_e4m3fn), "of a dtype other than .*: z_mean"),
    ],
)
def test_faulty_tensors_are_named(folder, name, tensor, message):
    edit(folder, lambda s: {n: t for n, t in (s | {name: tensor}).items() if t is not None})
    with pytest.raises(UserError, match=message):
        DiffusionAutoencoder.from_pretrained(folder)


def test_many_tensors_that_are_none_of_the_model_s_are_not_read(folder, monkeypatch):
    """Of 50,000 the file was opened for each, which took 400 seconds."""
    state = load_file(folder / "model.safetensors")
    save_file(state | {f"t{i}": torch.zeros(1) for i in range(2_000)}, folder / "model.safetensors")
    opened = []

    def counting(*arguments):
        opened.append(arguments)
        return safe_open(*arguments)

    monkeypatch.setattr(checkpoint, "safe_open", counting)
    with pytest.raises(UserError, match=r"not part of the model: t0, .* and 1990 more"):
        DiffusionAutoencoder.from_pretrained(folder)
    assert len(opened) < 10


def test_tensors_are_what_the_file_holds(folder):
    model = DiffusionAutoencoder.from_pretrained(folder)
    held = load_file(folder / "model.safetensors")
    assert all(torch.equal(held[name], tensor) for name, tensor in model.state_dict().items())


CONFIGS = [
    ({"image_size": 0}, "image_size: must be at least 1, not 0"),
    ({"image_size": 33}, "image_size 33 cannot be halved 3 times"),
    ({"model_channels": 10**9}, "model_channels: must be at most 4096"),
    ({"model_channels": 20}, "must be even and a multiple of norm_groups 8"),
    ({"channel_mult": []}, "channel_mult must have a factor"),
    ({"channel_mult": [1] * 1000}, "more than 12 resolutions"),
    ({"num_res_blocks": 10**9}, "num_res_blocks: must be at most 32"),
    ({"norm_groups": 0}, "norm_groups: must be at least 1, not 0"),
    ({"dropout": 1.5}, "dropout: must be at most 1, not 1.5"),
    ({"dropout": float("nan")}, "dropout: must be a finite number"),
    ({"latent": "x"}, "must be a mapping, not str"),
    ({"latent": {"layers": 3}}, "got an unexpected keyword argument 'layers'"),
    ({"latent": {"time_channels": 63}}, "time_channels 63 must be even"),
    ({"latent": {"num_layers": -1}}, "num_layers: must be at least 1, not -1"),
    ({"depth": 9}, "got an unexpected keyword argument 'depth'"),
]


@pytest.mark.parametrize(("change", "message"), CONFIGS)
def test_a_configuration_that_makes_no_network_is_refused(folder, change, message):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    line = refused_file(lambda _: open_checkpoint(folder), path)
    assert re.match(rf"{path}: config: .*{message}", line)


def test_a_fingerprint_is_of_configuration_and_weights(folder):
    before = open_checkpoint(folder).fingerprint()
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"dropout": 0.0', '"dropout": 0.5'))
    changed = open_checkpoint(folder).fingerprint()
    edit(folder, lambda s: s | {"z_mean": s["z_mean"] + 1})
    assert len({before, changed, open_checkpoint(folder).fingerprint()}) == 3


def test_what_a_configuration_lacks_is_named(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({"channel_mult": [1]}))
    line = refused_file(lambda _: open_checkpoint(folder), path)
    assert line.startswith(
        f"{path}: config: missing 3 required positional arguments: 'kind', 'image"
    )


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "[]", '"\ud800"', "\ufeff[]", ""])
def test_json_that_is_no_configuration_is_refused(folder, text):
    (folder / "config.json").write_text(text, errors="surrogatepass")
    with pytest.raises(UserError, match=r"config\.json: (damaged: (not|nested)|byte 1 is)"):
        open_checkpoint(folder)


def test_loading_a_model_leaves_the_compiler_alone_and_a_run_diffusers():
    """Importing them takes seconds; nothing here is compiled, and diffusers is for a VQGAN only."""
    lines = (
        "import sys",
        "from diffae import DiffusionAutoencoder",
        "DiffusionAutoencoder.from_pretrained('portraits')",
        "import benchmarks.run, benchmarks.systems.vqgan.system",
        "sys.exit('torch._dynamo' in sys.modules or 'diffusers' in sys.modules)",
    )
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)]).returncode == 0
