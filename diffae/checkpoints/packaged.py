"""The models that ship with the package, by name. Nothing here needs PyTorch."""

from pathlib import Path

from diffae.networks.config import ModelConfig, read_config

CONFIG = "config.json"
PACKAGED = Path(__file__).parents[1] / "pretrained"


def packaged_names() -> list[str]:
    """Models that ship with the package: names that `from_pretrained` takes."""
    return sorted(path.parent.name for path in PACKAGED.glob(f"*/{CONFIG}"))


def packaged_configs() -> dict[str, ModelConfig]:
    """What each of them is."""
    return {name: read_config(PACKAGED / name / CONFIG) for name in packaged_names()}
