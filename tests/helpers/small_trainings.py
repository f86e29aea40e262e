"""Presets of the packaged models' families for short trainings of smaller networks."""

from dataclasses import replace
from typing import Any

from diffae.train.presets import find_preset


def small(family: str, samples: int, config: dict[str, Any], **changed: Any) -> Any:
    """The preset of a family with batches of eight, other fields of its configuration, and `changed`."""
    preset: Any = find_preset(f"{family}-portraits")
    sizes = {"samples": samples, "batch_size": 8, "warmup_samples": 0}
    schedules = {name: replace(one, **sizes) for name, one in preset.schedules.items()}
    return replace(preset, config=replace(preset.config, **config), schedules=schedules, **changed)
