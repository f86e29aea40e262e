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

# Each kind of file by the beginnings of names, of entries or of tensors, that no other kind has. The first match is
# named, so kinds that contain another kind's networks come first.
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
    found = content if isinstance(content, dict) else {}
    return {name: value for name, value in found.items() if isinstance(name, str)}


def refuse_other_kind(content: Any, path: Path, system: str, lacks: str) -> NoReturn:
    """Raise UserError saying that `content` is not a file of `system`, and what kind it is.

    If it is of the same system, the message says what it `lacks`.
    """
    names = set(entries(content))
    for inner in entries(content).values():
        names |= set(entries(inner))
    some = ", ".join(sorted(names)[:4]) or "nothing by name"
    wanted, what = "", f"it holds {some}"
    for kind, mark in reversed(LOOKS.items()):
        own = f"(--ckpt {system}=" in kind
        wanted = kind.partition(" (")[0] if own else wanted
        if any(re.match(mark, name) for name in names):
            what = f"it lacks {lacks}" if own else f"it looks like {kind}"
    raise UserError(f"{path}: not {wanted}: {what}")


def shape_of(
    tensors: Mapping[str, Tensor], name: str, axes: int, path: Path, wanted: str
) -> tuple[int, ...]:
    """The shape of a tensor with so many axes.

    Raises UserError, saying that the file is not `wanted`, if it is missing or has another number
    of axes.
    """
    shape = tuple(tensors[name].shape) if name in tensors else ()
    if len(shape) != axes or not all(0 < side <= 1 << 16 for side in shape):
        what = f"is of shape {shape}" if name in tensors else "is missing"
        raise UserError(f"{path}: {name} {what}: not {wanted}")
    return shape


def give(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load all weights into a network, in float32, and set it to evaluation mode without gradients.

    Integers that count batches are neither required nor loaded. Raises UserError naming, in one
    line, the path and the tensors that are missing, left over, misshapen or not finite.
    """
    expected, state = (
        {k: v for k, v in of.items() if not k.endswith("num_batches_tracked")}
        for of in (network.state_dict(), state)
    )
    check_state(state, expected, str(path))
    network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False, assign=True)
    network.eval().requires_grad_(False)
