"""The files of other projects' weights: read safely, and loaded strictly into a network.

    torch.save, old and new       no code in them is run (diffae.checkpoints.torch_file)
    a folder of the project       config.json and model.safetensors (folder.py)

A system's adapter reads the part of the file that it needs; for another kind of file the error says
which kind it is.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from torch import Tensor, nn

from diffae.checkpoints import torch_file
from diffae.checkpoints.checkpoint import check_state
from diffae.system.errors import UserError
from diffae.system.files import file_size

# A pattern for each kind of file, which matches the beginning of a name (of an entry or a tensor) that no other kind
# has. The first kind that matches is named, so kinds that contain another kind's networks come first.
LOOKS = {
    "a DiffAE or DDIM checkpoint of the authors' (--ckpt diffae=... or ddim=...)": r"ema_model\.",
    "a taming-transformers VQ-GAN (--ckpt vqgan=...)": r"quantize\.embedding\.weight|first_stage_model\.quantize\.",
    "a VQ-VAE-2 of rosinality's (--ckpt vqvae2=...)": r"quantize_t\.embed",
    "an NVAE of NVlabs' (--ckpt nvae=...)": r"prior_ftr0",
    "a D2C of the authors' (--ckpt d2c=...)": r"latent_mod|encoder_q\.stem\.",
    "a StyleGAN2 of rosinality's (--ckpt stylegan2-w=...)": r"g_ema|latent_avg",
}


def read(path: Path) -> Any:
    """The object in a file of torch.save.

    Raises UserError, naming the path, if it is missing or of another format.
    """
    if is_of_nvidia(path):
        raise UserError(f"{path}: it looks like a StyleGAN of NVIDIA's (--ckpt stylegan2-w=...)")
    return torch_file.load(path)


def is_of_nvidia(path: Path) -> bool:
    """Whether a file is a pickle that names the packages of NVIDIA's generators.

    Raises UserError, naming the path, if the file is missing.
    """
    file_size(path)
    with open(path, "rb") as file:
        start = file.read(1 << 16)
    return start[:1] == pickle.PROTO and bool(re.search(b"torch_utils|dnnlib", start))


def entries(content: Any) -> dict[str, Any]:
    """The entries of a file's dictionary by name; none for anything else."""
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(name, str)}


def refuse_other_kind(content: object, path: Path, system: str, lacks: str) -> NoReturn:
    """Raise UserError saying that `content` is not a file of `system`, and which kind it seems to be.

    If it looks like one of the same system, the message says what it `lacks`.
    """
    names = set(entries(content))
    for inner in entries(content).values():
        names |= set(entries(inner))
    own_kind = next(kind for kind in LOOKS if f"(--ckpt {system}=" in kind)
    matching = [k for k, mark in LOOKS.items() if any(re.match(mark, name) for name in names)]
    if not matching:
        reason = f"it holds {', '.join(sorted(names)[:4]) or 'nothing by name'}"
    elif matching[0] == own_kind:
        reason = f"it lacks {lacks}"
    else:
        reason = f"it looks like {matching[0]}"
    raise UserError(f"{path}: not {own_kind.partition(' (')[0]}: {reason}")


def shape_of(
    tensors: Mapping[str, Tensor], name: str, axes: int, path: Path, wanted: str
) -> tuple[int, ...]:
    """The shape of a tensor with so many axes.

    Raises UserError, saying that the file is not `wanted`, if it is missing or has another number
    of axes.
    """
    shape = tuple(tensors[name].shape) if name in tensors else ()
    if len(shape) != axes or not all(0 < side <= 1 << 16 for side in shape):
        fault = f"is of shape {shape}" if name in tensors else "is missing"
        raise UserError(f"{path}: {name} {fault}: not {wanted}")
    return shape


def give(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load all weights into a network, in float32, and set it to evaluation mode without gradients.

    Integers that count batches are neither required nor loaded. Raises UserError naming, in one
    line, the path and the tensors that are missing, left over, misshapen or not finite.
    """
    tensors = _without_counts(state)
    check_state(tensors, _without_counts(network.state_dict()), str(path))
    network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=False, assign=True)
    network.eval().requires_grad_(False)


def _without_counts(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
