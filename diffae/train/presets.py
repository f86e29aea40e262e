"""Presets: everything that decides how a model is trained, with the expected results.

They are presets.toml: a section for each.

Settings that the paper fixes (Appendix A) are kept: Adam, a mean squared error, uniform timesteps,
gradient norm clipped to 1, L1 for the latent DDIM. The small presets differ where two CPU cores
require it: velocity instead of noise prediction, a higher learning rate that decays, an EMA that
warms up, and a second loss that teaches the encoder without noise, first alone (`encoder`) and then
along with the first (`pixel_weight`).
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from diffae.networks.config import ARCHITECTURES, ModelConfig
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import read_toml
from diffae.system.settings import Range
from diffae.train.images import Source
from diffae.train.trainer import Run
from diffae.train.types import MOST, Outcome, Schedule


@dataclass(frozen=True)
class AnyPreset:
    """What every preset has: the data of a training, and which of its settings decide the result.

    `portraits` is the number of procedural portraits to train on if no `--data` is given; 0 means
    that the preset is meant for `data_hint` and `--data` is required. `split` is the part of the
    data to train on: "all" for data sets that have no split of their own, as the authors do.
    """

    name: str
    _: KW_ONLY
    description: str = ""
    portraits: Annotated[int, Range(0, 10**7)] = 0
    data_hint: str = ""
    split: Literal["train", "valid", "test", "all"] = "train"
    flip: bool = False
    expect: str = ""

    deciding: ClassVar[tuple[str, ...]]
    settable: ClassVar[tuple[str, ...]]  # by `overrides`
    optional: ClassVar[tuple[str, ...]] = ()  # stages that can be left out

    @property
    def image_size(self) -> int:
        raise NotImplementedError

    @property
    def decides(self) -> dict[str, Any]:
        """The settings that decide the result, apart from data, seed and precision.

        The others are descriptions.
        """
        return {name: value for name, value in asdict(self).items() if name in self.deciding}

    def sized(self, count: int) -> Self:
        """The same for `count` training images."""
        return self

    def train(self, images: Source, out: Path, run: Run, device: str) -> dict[str, Outcome]:
        """Train on `images` and export to `out`. Returns the outcome of each stage.

        Of presets of other systems only: `stages.train` trains a `Preset`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Preset(AnyPreset):
    """One model: its architecture, its data, and the schedules of its networks.

    `encoder` gives the semantic encoder a start by `stages.PixelDecoder` alone, and `pixel_weight`
    keeps that decoder's loss beside the diffusion loss; the paper has neither. `image` trains
    encoder and UNet (or the baseline's UNet) by the diffusion loss, `latent` the latent DDIM.

    `dtype` is that of the weights that are written. `epochs` adapts a training to its images:
    encoder and autoencoder see each of them at most that often (0: as often as `samples` say).
    """

    model: ModelConfig
    image: Schedule
    latent: Schedule | None = None
    encoder: Schedule | None = None
    pixel_weight: Annotated[float, Range(0, 1e6)] = 0.0
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    epochs: Annotated[int, Range(0, MOST)] = 0

    deciding = ("model", "image", "latent", "encoder", "pixel_weight", "flip")
    settable = (*deciding, "split", "portraits", "dtype", "epochs")
    optional = ("encoder", "latent")

    @property
    def image_size(self) -> int:
        return self.model.image_size

    def sized(self, count: int) -> Self:
        """The same for `count` training images: `samples` are at most `epochs` of them."""
        if not self.epochs:
            return self
        most = self.epochs * count
        encoder = None if self.encoder is None else self.encoder.at_most(most)
        return replace(self, encoder=encoder, image=self.image.at_most(most))

    def without(self, stage: str) -> Self:
        """The same without one of the `optional` stages, and without the network that only it trains."""
        if stage == "latent":
            return replace(self, latent=None, model=replace(self.model, latent=None))
        return replace(self, encoder=None)


def _read(path: Path) -> dict[str, Preset]:
    """The presets of a table: its sections that have a description."""
    rows = read_toml(path)
    found = {name: _with_base(rows, name) for name in rows}
    return {name: _preset(name, row) for name, row in found.items() if "description" in row}


def _with_base(rows: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings of a section, with those of its `base` that it does not have itself."""
    own = {key: value for key, value in rows[name].items() if key != "base"}
    return _merged(_with_base(rows, rows[name]["base"]), own) if "base" in rows[name] else own


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    inside = {
        key: _merged(base[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and key in base
    }
    return {**base, **own, **inside}


def _preset(name: str, row: dict[str, Any]) -> Preset:
    architecture = row.pop("architecture", None)
    base = ARCHITECTURES[architecture].to_json() if architecture else {}
    model = ModelConfig.from_json(base | row.get("model", {}))
    schedules = {key: Schedule(**row[key]) for key in SCHEDULES if key in row}
    return Preset(name, **row | schedules | {"model": model})


SCHEDULES = ("encoder", "image", "latent")
PRESETS = _read(Path(__file__).with_suffix(".toml"))

OTHERS = "diffae.presets"  # the group of entry points by which other packages add presets


def other_presets() -> list[AnyPreset]:
    """The presets of other systems, by name."""
    return [find_preset(name) for name in sorted(entry_points(group=OTHERS).names)]


def find_preset(name: str) -> AnyPreset:
    """The preset of that name. Raises UserError, with the nearest name, if there is none."""
    if name in PRESETS:
        return PRESETS[name]
    others = entry_points(group=OTHERS)
    if name not in others.names:
        raise UserError(f"unknown preset {name!r}{did_you_mean(name, [*PRESETS, *others.names])}")
    found: AnyPreset = others[name].load()
    return found
