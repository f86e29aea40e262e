"""Inputs for the targets `taming`, `vqvae2` and `diffusers`.

They are a yaml beside a VQ-GAN's checkpoint, a file of a few hundred numbers, and the configuration
of a model's folder.
"""

import io
import json
from pathlib import Path

import torch
from hypothesis import strategies as st

from benchmarks.systems.diffusers import folder as diffusers_folder
from benchmarks.systems.vqgan.system import read_config
from benchmarks.systems.vqvae2 import system as vqvae2
from benchmarks.systems.vqvae2.network import VQVAE2, VQVAE2Config

YAML = """\
model:
  target: {target}
  params:
    embed_dim: {embed_dim}
    n_embed: {n_embed}
    ddconfig: {{double_z: {double_z}, z_channels: {z}, resolution: {resolution}, in_channels: 3, out_ch: 3, ch: {ch},
      ch_mult: {ch_mult}, num_res_blocks: 1, attn_resolutions: {attn}}}
"""
NUMBERS = st.one_of(
    st.sampled_from(["1", "4", "32", "64", "256"]),
    st.sampled_from(
        ["0", "-1", "1e9", ".nan", "null", "true", "'4'", "[]", "*a", "!!int x", "9" * 5000]
    ),
    st.integers().map(str),
)
ROWS = st.one_of(
    st.sampled_from(["[1, 2, 4]", "[1]", "[]", "[2, 2]", "[1, x]", "{}", "4"]),
    st.lists(st.integers(-1, 9)).map(str),
)
TARGETS = ["taming.models.vqgan.VQModel", "taming.models.vqgan.GumbelVQ", "null", "[]"]


def usually(value: str, else_: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 15).flatmap(lambda n: else_ if n == 15 else st.just(value))


def yaml_file() -> st.SearchStrategy[bytes]:
    fields = {
        "target": usually(TARGETS[0], st.sampled_from(TARGETS)),
        "embed_dim": usually("4", NUMBERS),
        "n_embed": usually("16", NUMBERS),
        "double_z": usually("false", NUMBERS),
        "z": usually("4", NUMBERS),
        "resolution": usually("256", NUMBERS),
        "ch": usually("32", NUMBERS),
        "ch_mult": usually("[1, 2]", ROWS),
        "attn": usually("[16]", ROWS),
    }
    return st.fixed_dictionaries(fields).map(lambda values: YAML.format(**values).encode())


def read_yaml(folder: Path, content: bytes) -> None:
    (folder / "last.yaml").write_bytes(content)
    config = read_config(folder / "last.ckpt")
    assert config.stride >= 1 and config.ch_mult
    assert config.resolution % config.stride == 0


# ----------------------------------------------------------------------------------------------

SMALL = VQVAE2Config(channel=2, res_blocks=1, res_channel=1, embed_dim=2, n_embed=3)
SIDES = st.lists(st.sampled_from([0, 1, 2, 3, 4, 64]), max_size=5)


@st.composite
def vqvae2_file(draw) -> bytes:
    """A small VQ-VAE-2's file, at times with tensors of other shapes or numbers, without some, or
    with others.
    """
    state = dict(VQVAE2(SMALL).state_dict())
    for name in draw(st.sets(st.sampled_from(sorted(state)), max_size=2)):
        what = draw(st.sampled_from(["keep", "keep", "drop", "shape", "nan", "kind", "twice"]))
        if what == "drop":
            del state[name]
        elif what == "shape":
            state[name] = torch.zeros(draw(SIDES))
        elif what == "nan":
            state[name] = torch.full_like(state[name], torch.nan)
        elif what == "kind":
            state[name] = draw(st.sampled_from([0, None, "text", [torch.zeros(1)]]))
        elif what == "twice":
            state[f"module.{name}"] = state[name]
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=draw(st.booleans()))
    return file.getvalue()


def read_vqvae2(folder: Path, content: bytes) -> None:
    path = folder / "vqvae.pt"
    path.write_bytes(content)
    model = vqvae2.VQVAE2System(path, torch.device("cpu")).model
    top, bottom = model.encode(torch.zeros(1, 3, 16, 16))
    assert top.shape == (1, 2, 2) and bottom.shape == (1, 4, 4)


# ----------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def model_config(draw) -> bytes:
    """What a model's config.json may be, as far as it is read before diffusers is asked."""
    config = {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3}
    for name in draw(st.sets(st.sampled_from([*config, "auto_map", "system"]), max_size=2)):
        value = st.one_of(st.sampled_from([*diffusers_folder.KINDS, 3]), JSON)
        config[name] = draw(value)
    return json.dumps(config).encode()


def read_model_config(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    (folder / "diffusion_pytorch_model.safetensors").touch()
    found = diffusers_folder.find(folder)
    assert found.class_name in diffusers_folder.KINDS and found.title.isprintable()
