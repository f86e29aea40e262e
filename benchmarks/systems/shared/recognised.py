"""Find the system that a checkpoint belongs to. PyTorch is imported only for those of DiffAE and DDIM."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffae.checkpoints import hub
from diffae.networks.config import AUTOENCODER
from diffae.system import files
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, once
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
    return files.read_json(path) if path.exists() else {}


# ----------------------------------------------------------------------------------------------
# The address of a checkpoint, with options for reading it: "PATH#option=value,option=value"


@dataclass(frozen=True)
class Whole:
    """An option that is an integer: its default, its least and its greatest value."""

    default: int
    least: int
    most: int

    def __contains__(self, value: str) -> bool:
        return value.isdecimal() and len(value) < 10 and self.least <= int(value) <= self.most

    def __str__(self) -> str:
        return f"a whole number from {self.least} to {self.most}"


# The values of each option: words, the default first, or a number.
Choices = Mapping[str, Sequence[str] | Whole]


def read_address(text: str | Path | None, choices: Choices) -> tuple[Path | None, dict[str, str]]:
    """The path of a checkpoint, None for the packaged version, and every option of the system.

    `choices` are the options with their values. A file whose name contains a # is found under that
    name. "#option=value" alone is the packaged version. Raises UserError, naming the path, for an
    unknown option or an invalid value.
    """
    options = {name: _default(values) for name, values in choices.items()}
    text = hub.local(text)
    if text is None or Path(text).exists():
        return None if text is None else Path(text), options
    place, _, rest = str(text).partition("#")
    pairs = (option.partition("=")[::2] for option in rest.split(",") if option)
    for name, value in once(text, pairs).items():
        if name not in choices:
            hint = did_you_mean(name, choices) if choices else "; this system has none"
            raise UserError(f"{text}: no option {name!r}{hint}")
        if value not in choices[name]:
            raise UserError(f"{text}: {name} is {_in_words(choices[name])}, not {value!r}")
        options[name] = value
    return Path(place) if place else None, options


def _default(values: Sequence[str] | Whole) -> str:
    return str(values.default) if isinstance(values, Whole) else values[0]


def _in_words(values: Sequence[str] | Whole) -> str:
    return str(values) if isinstance(values, Whole) else f"one of {', '.join(values)}"
