"""The authors' checkpoints, written by Lightning 1.4.5 (github.com/phizaz/diffae), read without it.

    last.ckpt of an image model    model.*, ema_model.*, x_T; with a latent DDIM also conds_mean, conds_std
    last.ckpt of a classifier      classifier.*, ema_classifier.*, conds_mean, conds_std

Everything that samples or encodes uses the EMA copy (`ema_model`), and only that copy is read. A
latent checkpoint contains its autoencoder's weights and statistics: no other file is needed. Of a
classifier the raw copy is read: its EMA still holds 39 % of its random start.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn

from diffae.checkpoints import torch_file
from diffae.networks.config import (
    ARCHITECTURES,
    AUTOENCODER,
    DDIM_BASELINE,
    LatentConfig,
    ModelConfig,
)
from diffae.networks.latent_net import LatentNet
from diffae.networks.nn import without_weights
from diffae.networks.unet import SemanticEncoder, UNet
from diffae.system.errors import UserError, name_all, naming
from diffae.system.files import sha256

EMA = "ema_model."
_RAW = "model."
_ATTENTION_RESOLUTION = 16  # net_attn of every configuration of theirs

Shapes = Mapping[str, torch.Size]


def _official_name(name: str) -> str:
    """The name of one of our tensors in the authors' `last.ckpt`.

    The latent net's `linear_emb` is registered twice there; of the two names the later one,
    `cond_layers.1`, decides what their code loads.
    """
    if name in ("z_mean", "z_std"):
        return name.replace("z_", "conds_")
    return EMA + name.removeprefix("unet.").replace(".linear_emb.", ".cond_layers.1.")


class OfficialCheckpoint:
    """The `last.ckpt` of an image model: its configuration, and its EMA weights under our names."""

    def __init__(self, path: Path):
        self.path = path
        self._tensors = _state_dict(path)
        if not any(name.startswith(EMA) for name in self._tensors):
            content = "a classifier (diffae.checkpoints.official.read_classifier reads it)"
            if "classifier.weight" not in self._tensors:
                content = f"no tensor named {EMA}*"
            raise UserError(f"{path}: not an image model of the authors': it holds {content}")
        self.config = infer_config({name: t.shape for name, t in self._tensors.items()}, path)

    def fingerprint(self) -> str:
        """SHA-256 of the file: the key of cached results of this model."""
        return sha256(self.path)

    def trained_on(self) -> None:
        """The authors' files have no record of their training."""

    def weights(self, expected: Iterable[str]) -> dict[str, Tensor]:
        """The tensors under the names in `expected`, which are our names."""
        tensors = {name: self._tensors[_official_name(name)] for name in expected}
        return torch_file.in_memory(tensors, self.path)


def _state_dict(path: Path) -> dict[str, Tensor]:
    content = torch_file.load(path)
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise UserError(f"{path}: not a Lightning checkpoint: it has no state_dict")
    tensors = {k: v for k, v in state.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if len(tensors) != len(state):
        odd = next(str(k) for k in state if k not in tensors)
        raise UserError(f"{path}: state_dict holds {odd:.80}, which is not a tensor")
    return tensors


# ----------------------------------------------------------------------------------------------
# From names and shapes to a configuration


def infer_config(shapes: Shapes, source: Path | str) -> ModelConfig:
    """Infer the configuration from a state dict of the authors.

    Raises UserError naming the tensors that are missing, left over or misshapen.
    """
    with naming(source):
        best = _guess(shapes)
    if any(_faults(best, shapes).values()):
        # One damaged tensor must not make all others look wrong: compare with the nearest released model.
        candidates = (best, *ARCHITECTURES.values())
        best = min(candidates, key=lambda config: sum(map(len, _faults(config, shapes).values())))
    if text := name_all(_faults(best, shapes)):
        raise UserError(f"{source}: tensors {text}")
    return best


def _faults(config: ModelConfig, shapes: Shapes) -> dict[str, list[str]]:
    expected = expected_shapes(config)
    stored = {n: s for n, s in shapes.items() if not n.startswith(_RAW) and n != "x_T"}
    return {
        "missing": sorted(expected.keys() - stored.keys()),
        "not part of the model": sorted(stored.keys() - expected.keys()),
        "of a different shape": [
            f"{n} {list(stored[n])} instead of {list(expected[n])}"
            for n in sorted(expected.keys() & stored.keys())
            if stored[n] != expected[n]
        ],
    }


@cache
def expected_shapes(config: ModelConfig) -> Shapes:
    """Every tensor of a `last.ckpt` of this configuration, apart from the raw copy and `x_T`."""
    with without_weights():
        parts = nn.ModuleDict({"unet": UNet(config)})
        if config.encoder_channel_mult:
            parts["encoder"] = SemanticEncoder(config)
        if config.latent:
            parts["latent_net"] = LatentNet(config.latent, config.z_channels)
    shapes = {}
    for our_name, tensor in parts.state_dict().items():
        official_name = _official_name(our_name)
        for name in (official_name, official_name.replace(".cond_layers.1.", ".linear_emb.")):
            shapes[name] = tensor.shape
    if config.latent:
        shapes |= dict.fromkeys(("conds_mean", "conds_std"), torch.Size((1, config.z_channels)))
    return MappingProxyType(shapes)


def _guess(shapes: Shapes) -> ModelConfig:
    bare = {n.removeprefix(EMA): s for n, s in shapes.items() if n.startswith(EMA)}
    model_channels = _most_common(bare, r"time_embed\.(time_embed\.)?0\.weight", 1)
    blocks_per_level = _blocks_per_level(bare)
    mult, encoder_mult = (
        _channel_mult(bare, part, blocks_per_level, model_channels) for part in ("", "encoder.")
    )
    blocks = _indices(bare, r"(?:encoder\.)?input_blocks\.(\d{1,3})\.1\.qkv\.")
    attended = sorted({block // blocks_per_level for block in blocks})
    image_size = _image_size(shapes, attended)
    embed_channels = _most_common(bare, r".*\.emb_layers\.1\.weight", 1)
    z_channels = 512
    if encoder_mult:
        z_channels = _most_common(bare, r".*\.cond_emb_layers\.1\.weight", 1)
    return ModelConfig(
        AUTOENCODER if encoder_mult else DDIM_BASELINE,
        image_size,
        model_channels,
        mult,
        encoder_mult,
        embed_channels=embed_channels,
        z_channels=z_channels,
        num_res_blocks=blocks_per_level - 1,
        attention_resolutions=tuple(image_size >> level for level in attended),
        latent=_guess_latent(bare),
    )


def _guess_latent(bare: Shapes) -> LatentConfig | None:
    layers = _indices(bare, r"latent_net\.layers\.(\d{1,3})\.")
    if not layers:
        return None
    return LatentConfig(
        num_layers=len(layers),
        hidden_channels=_most_common(bare, r"latent_net\.layers\.\d+\.norm\.weight", 0),
        time_channels=_most_common(bare, r"latent_net\.time_embed\.0\.weight", 1),
    )


def _most_common(bare: Shapes, pattern: str, dim: int) -> int:
    """The value that most tensors of this name imply, so that one damaged tensor does not decide."""
    named = (s for n, s in bare.items() if re.fullmatch(pattern, n))
    votes = Counter(s[dim] for s in named if len(s) > dim and s[dim] > 0)
    if not votes:
        raise UserError(f"tensors missing: {EMA}{pattern} (as a regular expression)")
    return votes.most_common(1)[0][0]


def _indices(names: Iterable[str], pattern: str) -> list[int]:
    return sorted({int(m[1]) for n in names if (m := re.match(pattern, n))})


def _blocks_per_level(bare: Shapes) -> int:
    """Blocks of an output level: one more than its num_res_blocks.

    Its last block also contains the ResBlock that doubles the resolution.
    """
    ups = _indices(bare, r"output_blocks\.(\d{1,3})\.[12]\.in_layers\.")
    return ups[0] + 1 if ups else 3


def _channel_mult(bare: Shapes, part: str, per_level: int, model_channels: int) -> tuple[int, ...]:
    """The width of each level, from the first convolutions of its blocks."""
    start = rf"{re.escape(part)}input_blocks\."
    mults = []
    for first in range(0, len(_indices(bare, rf"{start}(\d{{1,3}})\.")), per_level):
        blocks = "|".join(map(str, range(first + 1, first + per_level)))
        pattern = rf"{start}({blocks})\.0\.in_layers\.2\.(weight|bias)"
        mults.append(max(1, _most_common(bare, pattern, 0) // model_channels))
    return tuple(mults)


def _image_size(shapes: Shapes, attended: list[int]) -> int:
    """The image size, from the authors' sample noise (x_T) or the level of the 16 x 16 attention."""
    x_T = shapes.get("x_T")
    if x_T is not None:
        if len(x_T) != 4 or x_T[1] != 3 or x_T[2] != x_T[3] or not x_T[3]:
            raise UserError(f"tensors of a different shape: x_T {list(x_T)}, not N x 3 x S x S")
        return int(x_T[3])
    if not attended:
        raise UserError("tensors missing: x_T, which tells the size of the images")
    return _ATTENTION_RESOLUTION << attended[0]


# ----------------------------------------------------------------------------------------------
# Their other files


def read_classifier(path: Path) -> dict[str, Tensor]:
    """Read the raw classifiers in the `last.ckpt` of an `*_autoenc_cls` checkpoint.

    logits = (z - mean) / std @ weight.T + bias; `weight` is 40 x d with one row per CelebA
    attribute in CelebA's (alphabetical) order, `bias` 40, `mean` and `std` d.

    Raises UserError naming what is missing, left over, misshapen or not finite.
    """
    tensors = _state_dict(path)
    names = ("classifier.weight", "classifier.bias", "conds_mean", "conds_std")
    if missing := [name for name in names if name not in tensors]:
        raise UserError(f"{path}: not a classifier of the authors': it lacks {', '.join(missing)}")
    copies = ("ema_classifier.weight", "ema_classifier.bias")
    if extra := sorted(tensors.keys() - {*names, *copies}):
        raise UserError(f"{path}: not part of a classifier: {', '.join(extra[:3])}")
    stored = torch_file.in_memory({name: tensors[name] for name in names}, path)
    if odd := [name for name, tensor in stored.items() if not torch.isfinite(tensor).all()]:
        raise UserError(f"{path}: tensors not finite: {', '.join(odd)}")
    weight, bias, mean, std = (tensor.float() for tensor in stored.values())
    fit = weight.ndim == 2 and {mean.numel(), std.numel()} == {weight.shape[1]}
    if not fit or bias.shape != weight.shape[:1]:
        shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in stored.items())
        raise UserError(f"{path}: shapes do not fit together: {shapes}")
    return {"weight": weight, "bias": bias, "mean": mean.flatten(), "std": std.flatten()}
