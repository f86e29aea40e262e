"""Entries of a board: folders of finished runs, each with a card.

    NAME/    records.csv, samples.csv, influences.npz and run.json as the run wrote them, card.yaml, and pictures/ if wanted

The card says what the entry is and whose:

    title: Every system at 32 px
    by: A. Person
    about: One or two sentences on what was measured.
    link: https://example.org/code     # optional: code, weights or a paper
    licence: Apache-2.0                # optional: of the weights
"""

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import fmean

import yaml

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import read_text
from reports.records.reading import short
from reports.records.record import protocol_id
from reports.records.run_folder import INFLUENCES, RECORDS, RUN, SAMPLES, Run, read_run

CARD, PICTURES = "card.yaml", "pictures"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
LARGEST_CARD, LONGEST = 2**16, 600  # bytes of a card, characters of a field
SAME = 1e-6  # relative: a number against the mean of the scores that samples.csv prints


@dataclass(frozen=True)
class Card:
    """What an entry says of itself, as plain text; the fields with a default are optional."""

    title: str
    by: str
    about: str
    link: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Entry:
    """A finished run, which is labelled with the entry's name, and its card."""

    run: Run
    card: Card

    @property
    def name(self) -> str:
        return self.run.label

    @property
    def pictures(self) -> list[Path]:
        return sorted((self.run.folder / PICTURES).glob("*.png"))


def is_entry(folder: Path) -> bool:
    return os.path.lexists(folder / CARD)


def read_entries(folders: Iterable[Path]) -> list[Entry]:
    """Read entries. Raises UserError naming the file that is wrong, or two entries of one name."""
    found: dict[str, Entry] = {}
    for folder in folders:
        entry = read_entry(folder)
        other = found.setdefault(entry.name, entry)
        if other is not entry:
            raise UserError(f"{folder}: {other.run.folder} is called {entry.name} too; rename one")
    return list(found.values())


def read_entry(folder: Path) -> Entry:
    """Read one entry. Raises UserError naming the file that is wrong."""
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise UserError(f"{folder}: name the folder with letters, digits and . _ - only")
    card, run = read_card(folder / CARD), read_run(folder, label=name)
    if not run.has_influences:
        why = "without it systems cannot be compared in pairs; copy it from the run"
        raise UserError(f"{folder / INFLUENCES}: no such file; {why}")
    return Entry(run, card)


def read_card(path: Path) -> Card:
    """Read a card. Raises UserError naming the file and the field that is wrong."""
    try:
        content = yaml.safe_load(read_text(path, LARGEST_CARD))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML: {short(' '.join(str(error).split()))}") from None
    known = {field.name: field.default for field in fields(Card)}
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a card; it has the fields {', '.join(known)}")
    for name, text in content.items():
        if name not in known:
            raise UserError(f"{path}: no field {short(name, 40)}{did_you_mean(str(name), known)}")
        if wrong := _wrong(name, text):
            raise UserError(f"{path}: {name}: {wrong}")
    for name, default in known.items():
        if default != "" and name not in content:
            raise UserError(f"{path}: {name} is missing")
    return Card(**content)


def _wrong(name: str, text: object) -> str:
    """What is wrong with a field; empty if nothing is."""
    if not isinstance(text, str) or not text.strip():
        return "not a text; put it in quotes"
    if len(text) > LONGEST or not text.isprintable():
        return f"not one line of at most {LONGEST} characters"
    if re.search("[<>]", text):
        return "has < or >; a card is plain text, without HTML"
    if name == "link" and not re.fullmatch(r"https://[^\s\"']+", text):
        return "not an address that begins with https://"
    return ""


def check(entry: Entry) -> int:
    """Check that an entry's numbers follow from what is beside them, and return how many means were
    taken again.

    Every protocol has the hash of its fields, every number a protocol, and every mean over images
    in samples.csv is that of its scores. (`read_run` checks the schema, and standard errors against
    influences.)

    Raises UserError naming the file and the number that is wrong.
    """
    folder = entry.run.folder
    for name, described in entry.run.protocols.items():
        if protocol_id(described) != name:
            raise UserError(f"{folder / RUN}: protocol {short(name, 40)} was changed by hand")
    taken = 0
    for record in entry.run.rows:
        if record.value is None:
            continue
        where = f"{short(record.system, 40)}, {short(record.setting, 40)}, {record.metric}"
        if not record.protocol:
            raise UserError(f"{folder / RECORDS}: no protocol for {where}")
        if scores := [score for _, score in entry.run.scores_of(record)]:
            mean = fmean(scores)
            if len(scores) != record.n or not math.isclose(mean, record.value, rel_tol=SAME):
                says = f"{record.value:.8g} of {record.n} images"
                taken_again = f"{mean:.8g} of {len(scores)}"
                raise UserError(
                    f"{folder / RECORDS}: {where} is {says}, and by {SAMPLES} {taken_again}"
                )
            taken += 1
    return taken
