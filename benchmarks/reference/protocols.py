"""The page `every-protocol`: what each protocol does, and the values of each field."""

from dataclasses import fields
from typing import Any, get_args, get_type_hints

from benchmarks.metrics.codes import schema as codes
from benchmarks.metrics.protocols import edits, schema
from benchmarks.metrics.protocols.library import Head
from benchmarks.reference.tables import meanings_of, table

HEAD = """# Every protocol

A protocol fixes how a number is computed, so that it can stand beside numbers of another code.
[Protocols](protocols.md) explains how to choose one. `--protocol NAME` selects it.

## Reconstruction

The table shows how each protocol differs from `plain`. A dash (–) is a metric that the code does not
compute."""
FIELDS = """## Fields of a protocol of reconstruction

A protocol of your own is a TOML file with these fields."""
CODES = """## Numbers of codes

[Codes](codes.md) explains the numbers and what they depend on."""
EDITS = """## Edits

[Edits](edits.md) explains the numbers."""
HEADINGS = {"rfid": "rFID", "psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS"}
NO_VALUE = "–"
# How a value that differs from that of plain is written. The name of a field that is not here is left out.
WORDS = {
    "posterior": "a sample of the posterior",
    "reference": "against {}",
    "resize": "resize {}",
    "of": "one error of {}",
    "error": "of halved errors",
    "equal_images": "at most 100 dB",
    "batch": "means of batches of {}",
    "window": "window {}",
    "padding": "{} padding",
    "range": "range {}",
    "covariance": "{} covariance",
    "pixels": "of pixels in {}",
    "clamped": "not clamped",
}
TEXTS = {
    ("rounding", "none"): "not rounded",
    ("padding", "valid"): "no padding",
    ("equal_images", "100 dB, 1e-10 added"): "1e-10 added to errors",
}
SIDE = {"reconstruction": " (reconstruction only)", "both": ""}


def page() -> str:
    parts = [HEAD, _of_images(), FIELDS, _fields(), CODES, _of_codes()]
    return "\n\n".join([*parts, EDITS, _of_edits()]) + "\n"


def _of_images() -> str:
    plain = schema.named(schema.PLAIN)
    rows = []
    for name in schema.names():
        protocol = schema.named(name)
        sections = [(getattr(protocol, part), getattr(plain, part)) for part in schema.SECTIONS]
        cells = [difference(section, usual) for section, usual in sections]
        rows.append([f"`{name}`", protocol.title, *(["plain"] * 5 if protocol == plain else cells)])
    heads = ["protocol", "whose", "pixels", *(HEADINGS[name] for name in schema.METRICS)]
    return table(rows, heads)


def difference(section: Any, plain: Any) -> str:
    """What sets a section of a protocol apart from that of plain."""
    if section is None:
        return NO_VALUE
    words = []
    for field in fields(section):
        value = getattr(section, field.name)
        if field.name in ("rounded", "scaling") or value == getattr(plain, field.name):
            continue
        text = TEXTS.get((field.name, value), WORDS.get(field.name, "{}").format(value))
        words.append(text + SIDE[section.rounded] if field.name == "rounding" else text)
    return ", ".join(words) or "as plain"


def _fields() -> str:
    """Every field with its values, plain's first."""
    rows = []
    for section, kind in schema.SECTIONS.items():
        meanings, hints = meanings_of(kind), get_type_hints(kind)
        for field in fields(kind):
            values = list(get_args(hints[field.name])) or [field.default]
            if hints[field.name] is bool:
                values = [True, False]
            ordered = sorted(values, key=lambda value: value != field.default)
            texts = [str(v).lower() if isinstance(v, bool) else str(v) for v in ordered]
            text = ", ".join(f"`{value}`" for value in texts)
            rows.append([f"`{section}.{field.name}`", text, meanings.get(field.name, "")])
    return table(rows, ["field", "values, that of plain first", "meaning"])


def _of_codes() -> str:
    parts = []
    for name in codes.names():
        if name != codes.PLAIN:
            protocol = codes.named(name)
            numbers = [number for number in codes.NUMBERS if protocol.defines(number)]
            parts.append(_described(protocol, numbers))
    return "\n\n".join(parts)


def _of_edits() -> str:
    protocols = [edits.named(name) for name in edits.names()]
    return "\n\n".join(_described(protocol, list(protocol.sections)) for protocol in protocols)


def _described(protocol: Head, numbers: list[str]) -> str:
    """A protocol of numbers that have no table: its title, its numbers, its code and its note."""
    listed = ", ".join(f"`{number}`" for number in numbers)
    read = f"`{protocol.code}`, read on {protocol.read}" if protocol.read else f"`{protocol.code}`"
    unread = [f"Not read: {protocol.unread}."] if protocol.unread else []
    note = [protocol.note] if protocol.note else []
    parts = [f"### `{protocol.name}`", f"{protocol.title}. Numbers: {listed}. Code: {read}."]
    return "\n\n".join([*parts, *unread, *note])
