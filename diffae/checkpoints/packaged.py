"""The models that ship with the package, by name. This module does not need PyTorch."""

from pathlib import Path

from diffae.networks.config import ModelConfig, read_config

CONFIG = "config.json"
PACKAGED = Path(__file__).parents[1] / "pretrained"


def packaged_names() -> list[str]:
    """Names of the models that ship with the package; `from_pretrained` takes them."""
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{CONFIG}"))


def is_packaged(source: Path | None) -> bool:
    """Whether a model was read from one of the folders that ship with the package."""
    return source is not None and source.parent == PACKAGED


def packaged_configs() -> dict[str, ModelConfig]:
    """The configuration of each packaged model."""
    return {name: read_config(PACKAGED / name / CONFIG) for name in packaged_names()}
