"""Recognition of the system of a checkpoint. Imports no PyTorch but for those of DiffAE and DDIM."""

import json
from pathlib import Path
from typing import Any

from diffae.checkpoints import hub
from diffae.networks.config import AUTOENCODER
from diffae.system.errors import UserError, reason
from diffae.system.files import read_text
from diffae.system.signals import importing

CONFIG, PIPELINE = "config.json", "model_index.json"
PACKAGED = Path(__file__).parents[1] / "pretrained"  # the small versions of systems, a folder each


def system_of(text: str | Path) -> str:
    """The system of a checkpoint: of a folder of diffusers or of one that this project wrote, or
    DiffAE or DDIM.

    Raises UserError if it is none of them.
    """
    place = hub.local(text)
    folder = Path(place) if Path(place).exists() else Path(str(place).partition("#")[0])
    config = read_json(folder / CONFIG)
    if (folder / PIPELINE).is_file() or "_class_name" in config:
        return "diffusers"
    if isinstance(system := config.get("system"), str):
        return system
    with importing():
        from diffae.checkpoints import checkpoint
    kind = checkpoint.open_checkpoint(text).config.kind
    return "diffae" if kind == AUTOENCODER else "ddim"


def read_json(path: Path) -> dict[str, Any]:
    """A file's dictionary; empty if there is no file.

    Raises UserError, naming it, if it is not valid JSON.
    """
    if not path.exists():
        return {}
    try:
        found = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: damaged: not JSON ({reason(error)})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not an object of JSON")
    return found
