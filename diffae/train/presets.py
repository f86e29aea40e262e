"""Presets: everything that decides how a model is trained, with the expected results.

They are presets.toml: a section for each.

Settings that the paper fixes (Appendix A) are kept: Adam, a mean squared error, uniform timesteps,
gradient norm clipped to 1, L1 for the latent DDIM. The small presets differ where two CPU cores
require it: velocity instead of noise prediction, a higher learning rate that decays, an EMA that
warms up, and a second loss that teaches the encoder without noise: first alone (`encoder`), and in
the shorter ones then along with the first (`pixel_weight`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, is_dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar, get_args

from diffae.networks.config import ARCHITECTURES, ModelConfig
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError, naming, once
from diffae.system.files import Json, JsonObject, read_toml
from diffae.system.settings import Hint, Range, Setting, can_be_set, settings_of, typed
from diffae.train.images import Source
from diffae.train.trainer import TrainingRun
from diffae.train.types import MOST, Outcome, Schedule


@dataclass(frozen=True)
class AnyPreset:
    """The fields of every preset: the data of a training, and the settings that decide its result.

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
    def decides(self) -> dict[str, Json]:
        """The settings that decide the result, apart from data, seed and precision.

        The other fields are descriptions.
        """
        values = {name: value for name, value in asdict(self).items() if name in self.deciding}
        for schedule in values.values():  # records of older versions have no `decay_samples`
            if isinstance(schedule, dict) and not schedule.get("decay_samples"):
                schedule.pop("decay_samples", None)
        return values

    def sized(self, count: int) -> Self:
        """The same for `count` training images."""
        return self

    def train(self, images: Source, out: Path, run: TrainingRun, device: str) -> dict[str, Outcome]:
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
        """The same for `count` training images (0: not known): `samples` are at most `epochs` of them."""
        if not self.epochs or not count:
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
    sections = {name: _with_base(rows, name) for name in rows}
    return {name: _preset(name, row) for name, row in sections.items() if "description" in row}


def _with_base(rows: JsonObject, name: str) -> JsonObject:
    """The settings of a section, with those of its `base` that it does not have itself."""
    own = {key: value for key, value in rows[name].items() if key != "base"}
    return _merged(_with_base(rows, rows[name]["base"]), own) if "base" in rows[name] else own


def _merged(base: JsonObject, own: JsonObject) -> JsonObject:
    """The settings of both; of two tables of the same name, the settings of both too."""
    inside = {
        key: _merged(base[key], value)
        for key, value in own.items()
        if isinstance(value, dict) and key in base
    }
    return {**base, **own, **inside}


def _preset(name: str, row: JsonObject) -> Preset:
    architecture = row.pop("architecture", None)
    base: JsonObject = dict(ARCHITECTURES[architecture].to_json()) if architecture else {}
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
    preset: AnyPreset = others[name].load()
    return preset


# ----------------------------------------------------------------------------------------------
# `--set NAME=VALUE`: a preset with other settings, typed and checked by its dataclasses


NONE = "none"  # value of a stage: leave it out
UNSET = frozenset({"model.kind"})  # a different kind is a different preset

T = TypeVar("T")


def override(preset: AnyPreset, texts: Sequence[str]) -> AnyPreset:
    """`preset` with each of `texts`, NAME=VALUE.

    STAGE=none leaves out an optional stage. Raises UserError naming an unknown setting, an
    invalid value, or a setting with two values.
    """
    given = once("--set", map(_split, texts))
    left_out = [name for name, value in given.items() if value == NONE and name in preset.optional]
    if isinstance(preset, Preset):
        for name in left_out:
            preset = preset.without(name)
    values, types = {}, settings(preset)
    for name, value in given.items():
        if name in left_out and value == NONE:
            continue
        if name not in types:
            near = did_you_mean(name, types)
            raise UserError(f"--set {name}={value}: no such setting of {preset.name}{near}")
        with naming(f"--set {name}={value}", ValueError):
            values[name] = typed(value, types[name])
    with naming(f"--set {' '.join(texts)}"):
        return _rebuilt(preset, values, "")


def settings(preset: AnyPreset) -> dict[str, Hint]:
    """The types of the settings that --set can change, by name."""
    fields = settings_of(type(preset))
    return {
        name: hint
        for field in preset.settable
        for name, hint in _leaves(getattr(preset, field), fields[field], field)
        if name not in UNSET
    }


def differences(there: Json, here: Json, name: str = "") -> list[str]:
    """The differences between two settings, such as "image.batch_size is 64 there and 32 here"."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        lines = []
        for key in dict.fromkeys((*there, *here)):
            lines += differences(there.get(key), here.get(key), f"{name}.{key}".lstrip("."))
        return lines
    return [] if there == here else [f"{name} is {there!s:.40} there and {here!s:.40} here"]


def _split(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"--set {text}: expected NAME=VALUE, e.g. image.batch_size=64")
    return name.strip(), value.strip()


def _leaves(value: Any, hint: Hint, name: str) -> Iterator[tuple[str, Hint]]:
    """Names and types of the settings in `value`: the fields of a dataclass, the values of a dict."""
    if is_dataclass(value):
        for field, field_hint in settings_of(type(value)).items():
            yield from _leaves(getattr(value, field), field_hint, f"{name}.{field}")
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, get_args(hint)[1], f"{name}.{key}")
    elif can_be_set(hint):
        yield name, hint


def _rebuilt(value: T, values: Mapping[str, Setting], name: str) -> T:
    """`value` with new settings. All are replaced at once, because a dataclass checks itself as a whole."""
    inside = {n: v for n, v in values.items() if not name or n == name or n.startswith(f"{name}.")}
    if not inside or name in inside:
        return inside.get(name, value)  # type: ignore[return-value]
    if isinstance(value, dict):
        return {k: _rebuilt(v, inside, f"{name}.{k}") for k, v in value.items()}  # type: ignore[return-value]
    start = f"{name}." if name else ""
    fields = dict.fromkeys(n.removeprefix(start).partition(".")[0] for n in inside)
    try:
        return replace(  # type: ignore[type-var]
            value, **{f: _rebuilt(getattr(value, f), inside, start + f) for f in fields}
        )
    except UserError as error:
        where = "" if str(error).startswith("config: ") or not name else f"{name}: "
        raise UserError(f"{where}{error}") from None
