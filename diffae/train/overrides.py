"""`--set NAME=VALUE`: a preset with other settings, typed and checked by its dataclasses.

A name is that of training.json's `settings`, such as image.batch_size or model.latent.num_layers.
The part before its last dot may be left out if only one setting has that name: z_channels is
model.z_channels, the one size of z.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, TypeVar, get_args

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.settings import can_be_set, settings_of, typed
from diffae.train.presets import AnyPreset, Preset

NONE = "none"  # value of a stage: leave it out
UNSET = frozenset({"model.kind"})  # a different kind is a different preset

T = TypeVar("T")


def override(preset: AnyPreset, texts: Sequence[str]) -> AnyPreset:
    """`preset` with each of `texts`, NAME=VALUE; the last value of a setting counts.

    STAGE=none leaves out an optional stage. Raises UserError naming an unknown setting or an
    invalid value.
    """
    given = [_split(text) for text in texts]
    left_out = [name for name, value in given if value == NONE and name in preset.optional]
    if isinstance(preset, Preset):
        for name in left_out:
            preset = preset.without(name)
    values = {}
    for name, value in given:
        if name in left_out and value == NONE:
            continue
        known = settings(preset)
        full = _found(preset, name, value, known)
        try:
            values[full] = typed(value, known[full])
        except ValueError as error:
            raise UserError(f"--set {name}={value}: {error}") from None
    try:
        return _rebuilt(preset, values, "")
    except UserError as error:
        raise UserError(f"--set {' '.join(texts)}: {error}") from None


def settings(preset: AnyPreset) -> dict[str, Any]:
    """The type of everything that --set can change, by name."""
    fields = settings_of(type(preset))
    return {
        name: hint
        for field in preset.settable
        for name, hint in _leaves(getattr(preset, field), fields[field], field)
        if name not in UNSET
    }


def differences(theirs: object, ours: object, name: str = "") -> list[str]:
    """The differences between two settings, as in JSON: "image.batch_size is 64 there and 32 here"."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        names = dict.fromkeys((*theirs, *ours))
        pairs = [(theirs.get(n), ours.get(n), f"{name}.{n}".lstrip(".")) for n in names]
        return [line for pair in pairs for line in differences(*pair)]
    return [] if theirs == ours else [f"{name} is {theirs} there and {ours} here"]


def _split(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UserError(f"--set {text}: expected NAME=VALUE, e.g. image.batch_size=64")
    return name.strip(), value.strip()


def _leaves(value: object, hint: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The settings within one: of a dataclass its fields, of a dict its values; None has none."""
    if is_dataclass(value):
        for field, of in settings_of(type(value)).items():
            yield from _leaves(getattr(value, field), of, f"{name}.{field}")
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _leaves(one, get_args(hint)[1], f"{name}.{key}")
    elif can_be_set(hint):
        yield name, hint


def _found(preset: AnyPreset, name: str, value: str, known: Mapping[str, Any]) -> str:
    """The full name of a setting.

    Raises UserError, with the nearest, if there is none or more than one.
    """
    if name in known:
        return name
    places = [full for full in known if full.endswith(f".{name}")]
    if len(places) == 1:
        return places[0]
    if places:
        raise UserError(f"--set {name}={value}: which one? there are {', '.join(places)}")
    section = name.partition(".")[0]
    if section in preset.optional and getattr(preset, section) is None:
        raise UserError(f"--set {name}={value}: there is no stage {section} in {preset.name}")
    near = did_you_mean(name, known)
    raise UserError(f"--set {name}={value}: no such setting of {preset.name}{near}")


def _rebuilt(value: T, values: Mapping[str, Any], name: str) -> T:
    """`value` with new leaves, all at once: each dataclass checks itself when it is complete."""
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
