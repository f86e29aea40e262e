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
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from diffae.system.errors import UserError, naming
from diffae.system.plain_yaml import read_yaml
from reports.records.estimate import Floats, influences_on_mean
from reports.records.metrics import METRICS
from reports.records.reading import from_plain, short
from reports.records.record import Record, protocol_id, record_key
from reports.records.run_folder import INFLUENCES, RECORDS, RUN, SAME_ERROR, SAMPLES, Run, read_run
from reports.records.specs import NAME

CARD = "card.yaml"
FILES = (RECORDS, SAMPLES, INFLUENCES, RUN)
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
    """A finished run, which is labelled with the entry's name, and its card.

    `taken` has the keys of the numbers that `check` took again.
    """

    run: Run
    card: Card
    taken: frozenset[str]

    @property
    def name(self) -> str:
        return self.run.label

    @cached_property
    def measured(self) -> dict[str, Record]:
        """The numbers that have a value, by their keys."""
        return {key: r for key, r in self.run.records.items() if r.value is not None}

    @property
    def not_taken(self) -> list[str]:
        """The metrics of the numbers that only measuring again could check."""
        others = (r.metric for key, r in self.measured.items() if key not in self.taken)
        return list(dict.fromkeys(others))


def is_entry(folder: Path) -> bool:
    return os.path.lexists(folder / CARD)


def read_entries(folders: Iterable[Path]) -> list[Entry]:
    """Read entries. Raises UserError naming the file that is wrong, or two entries of one name."""
    entries: dict[str, Entry] = {}
    for entry in map(read_entry, folders):
        folder = entry.run.folder
        if other := entries.get(entry.name):
            raise UserError(f"{folder}: {other.run.folder} is called {entry.name} too; rename one")
        entries[entry.name] = entry
    return list(entries.values())


def read_entry(folder: Path) -> Entry:
    """Read one entry and check its numbers. Raises UserError naming the file that is wrong."""
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise UserError(f"{folder}: name the folder with letters, digits and . _ - only")
    card, run = read_card(folder / CARD), read_run(folder, label=name)
    if not run.has_influences:
        why = "without it systems cannot be compared in pairs; copy it from the run"
        raise UserError(f"{folder / INFLUENCES}: no such file; {why}")
    return Entry(run, card, check(run))


def read_card(path: Path) -> Card:
    """Read a card. Raises UserError naming the file and the field that is wrong."""
    with naming(f"{path}: not a card", ValueError):
        card = from_plain(Card, read_yaml(path, LARGEST_CARD))
    for field in fields(card):
        if wrong := _wrong(field.name, getattr(card, field.name), optional=field.default == ""):
            raise UserError(f"{path}: {field.name}: {wrong}")
    return card


def _wrong(name: str, text: str, optional: bool) -> str:
    """What is wrong with a field of a card; empty if nothing is."""
    if not text.strip():
        return "" if optional else "is empty"
    if len(text) > LONGEST or not text.isprintable():
        return f"not one line of at most {LONGEST} characters"
    if name == "link" and not re.fullmatch(r"https://[^\s\"']+", text):
        return "not an address that begins with https://"
    return ""


# ----------------------------------------------------------------------------------------------
# Do the numbers follow from what is beside them?


def check(run: Run) -> frozenset[str]:
    """Check the numbers of an entry's run.

    Returns the keys of the numbers that were taken again from the scores of their images: a mean over
    images is that of its scores in samples.csv, and so is its error, unless the pictures of a person
    count as one. Every number has a protocol, which has the hash of its fields, and the direction, unit
    and range of the table of metrics. (`read_run` compares standard errors with influences.npz.)

    Raises UserError naming the file and the number that is wrong.
    """
    taken = set[str]()
    for name, described in run.protocols.items():
        if protocol_id(described) != name:
            raise UserError(f"{run.folder / RUN}: protocol {short(name, 40)} was changed by hand")
    for record in run.rows:
        scores = np.array([score for _, score in run.scores_of(record)])
        wrong = _against_table(record, run)
        if record.value is not None and len(scores):
            wrong = wrong or _against_scores(record, record.value, scores)
            taken.add(record_key(record))
        if wrong:
            where = f"{short(record.system, 40)}, {short(record.setting, 40)}, {record.metric}"
            raise UserError(f"{run.folder / RECORDS}: {where}: {wrong}")
    return frozenset(taken)


def _against_table(record: Record, run: Run) -> str:
    """What the table of metrics contradicts; empty if nothing."""
    metric = METRICS.get(record.metric) or run.metrics.get(record.metric)
    if metric is None:
        return "no such metric"
    for name in ("direction", "unit"):
        if (stated := getattr(record, name)) != (true := getattr(metric, name)):
            return f"{name} is {short(repr(stated))}, not {short(repr(true))}"
    if record.value is None:
        return ""
    if not math.isfinite(record.value):
        return f"{record.value} is not finite"
    if metric.least is not None and record.value < metric.least - SAME:
        return f"{record.value:.8g} is below {metric.least:g}"
    if metric.most is not None and record.value > metric.most + SAME:
        return f"{record.value:.8g} is above {metric.most:g}"
    return "" if record.protocol else "no protocol"


def _against_scores(record: Record, value: float, scores: Floats) -> str:
    """What does not agree with the scores of the images."""
    mean = fmean(scores)
    if len(scores) != record.n or not math.isclose(mean, value, rel_tol=SAME):
        taken_again = f"{mean:.8g} of {len(scores)}"
        return f"is {value:.8g} of {record.n} images, and by {SAMPLES} {taken_again}"
    influences, of_scores = record.estimate.influences, influences_on_mean(scores, "images")
    if not (influences and of_scores) or len(influences[0].values) != len(scores):
        return ""
    stated, computed = np.sort(influences[0].values), np.sort(of_scores[0].values)
    if not np.allclose(stated, computed, rtol=0, atol=SAME_ERROR * np.abs(computed).max()):
        return f"the influences in {INFLUENCES} are not those of its scores"
    return ""
