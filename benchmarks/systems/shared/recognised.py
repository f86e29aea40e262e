"""Recognition of the system of a checkpoint by its path alone. Imports no PyTorch."""

import json
from pathlib import Path
from typing import Any

from diffae.checkpoints import hub
from diffae.system.errors import UserError, reason
from diffae.system.files import read_text

CONFIG, PIPELINE = "config.json", "model_index.json"
PACKAGED = Path(__file__).parents[1] / "pretrained"  # the small versions of systems, a folder each


def system_of(text: str | Path) -> str | None:
    """The system of a folder: one of diffusers, or one that this project wrote.

    None if the path does not show it: a packaged name, a file, a folder of DiffAE's or DDIM's.
    """
    text = hub.local(text)
    folder = Path(str(text).partition("#")[0]) if not Path(text).exists() else Path(text)
    if (folder / PIPELINE).is_file():
        return "diffusers"
    config = read_json(folder / CONFIG)
    if "_class_name" in config:
        return "diffusers"
    system = config.get("system")
    return system if isinstance(system, str) else None


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
