"""Checkpoints: a folder with `model.safetensors` and `config.json`. Nothing in it is ever executed."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diffae.config import ModelConfig
from diffae.errors import UserError

WEIGHTS, CONFIG = "model.safetensors", "config.json"
PACKAGED = Path(__file__).parent / "pretrained"


def packaged_names() -> list[str]:
    """Models that ship with the package: names that `from_pretrained` takes."""
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{CONFIG}"))


def locate(path: str | Path) -> Path:
    """The folder of a checkpoint. A folder on disk comes before a packaged model of the same name."""
    folder = Path(path)
    if not folder.exists() and str(path) in packaged_names():
        return PACKAGED / str(path)
    if not folder.exists():
        raise UserError(
            f"{path}: no such checkpoint: give a folder with {WEIGHTS} and {CONFIG}, or the name of a "
            f"packaged model ({', '.join(packaged_names()) or 'none here'})"
        )
    missing = [name for name in (WEIGHTS, CONFIG) if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{path}: not a checkpoint: it must be a folder with {' and '.join(missing)}"
        )
    return folder


def read_config(folder: Path) -> ModelConfig:
    path = folder / CONFIG
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: must hold a JSON object")
    try:
        return ModelConfig.from_json(data)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def load_weights(model: nn.Module, folder: Path) -> None:
    """Fill `model` with the folder's weights in the model's own dtype. Strict: every fault is named."""
    path = folder / WEIGHTS
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors ({error})") from None
    check_state(state, model.state_dict(), str(path))
    model.load_state_dict(state)


def check_state(state: dict[str, Tensor], expected: dict[str, Tensor], source: str) -> None:
    """Raise UserError naming the first tensors that are missing, left over, misshapen or not finite."""
    shared = state.keys() & expected.keys()
    faults = {
        "missing": sorted(expected.keys() - state.keys()),
        "not part of the model": sorted(state.keys() - expected.keys()),
        "of another shape": sorted(k for k in shared if state[k].shape != expected[k].shape),
        "not finite": sorted(k for k in shared if not torch.isfinite(state[k]).all()),
    }
    for fault, names in faults.items():
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise UserError(f"{source}: tensors {fault}: {', '.join(names[:3])}{more}")


def save(model: nn.Module, config: ModelConfig, folder: Path, dtype: torch.dtype) -> None:
    """Write the two files of a checkpoint, the weights whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.to(dtype).contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / (WEIGHTS + ".partial")
    save_file(state, partial)
    (folder / CONFIG).write_text(json.dumps(config.to_json(), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / WEIGHTS)


def fingerprint(folder: Path) -> str:
    """SHA-256 over configuration and weights: what a cached result of this model is filed under."""
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with open(folder / name, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
