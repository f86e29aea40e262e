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
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import yaml

from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.files import Target, empty_folder, read_text, refuse_outputs
from diffae.system.whole import whole_folder, write_whole
from reports.records.metrics import METRICS
from reports.records.published import attach
from reports.records.reading import part_of, short
from reports.records.record import Record, protocol_id, record_key
from reports.records.run_folder import INFLUENCES, RECORDS, RUN, SAME_ERROR, SAMPLES, Run, read_run
from reports.records.specs import NAME
from reports.records.tokenizers import BY_PROTOCOL, published
from reports.records.uncertainty import UNKNOWN, Error, Floats, Uncertainty, error, of_mean

CARD = "card.yaml"
FILES = (RECORDS, SAMPLES, INFLUENCES, RUN)
# What of a card only a person knows, and how a card that lacks it is marked.
ASKED = {
    "by": "who made the entry",
    "link": "optional, an address of code, weights or a paper",
    "licence": "optional, of the weights",
}
UNFILLED = "TODO:"
LARGEST_CARD, LONGEST = 2**16, 600  # bytes of a card, characters of a field
SAME = 1e-6  # relative: a number against the mean of the scores that samples.csv prints
# Our benchmarks whose means over images have their scores in samples.csv.
SCORED = ("reconstruction", "probes", "identity", "edits", "latent", "denoising", "variation")
# What `published.attach` writes into a record, and what is there before.
BARE: dict[str, Any] = {
    "published": None,
    **dict.fromkeys(("published_metric", "published_source", "not_comparable"), ""),
}


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

    `taken` says what of each number was taken again by `check`.
    """

    run: Run
    card: Card
    taken: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.run.label


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
    """Read one entry and check its numbers. Raises UserError naming the file that is wrong."""
    name = _name_of(folder)
    return _checked(read_card(folder / CARD), read_run(folder, label=name))


def _name_of(folder: Path) -> str:
    name = folder.resolve().name
    if not NAME.fullmatch(name):
        raise UserError(f"{folder}: name the folder with letters, digits and . _ - only")
    return name


def _checked(card: Card, run: Run) -> Entry:
    if not run.has_influences:
        why = "without it systems cannot be compared in pairs; copy it from the run"
        raise UserError(f"{run.folder / INFLUENCES}: no such file; {why}")
    return Entry(run, card, check(run))


def write_entry(source: Path, folder: Path, given: Iterable[str]) -> list[str]:
    """Make an entry of a finished run. Its card is filled from the run and from `given`, as FIELD=TEXT.

    Returns a line for each field that only a person knows and nobody gave. One that must be there is
    marked in the card, and `read_card` refuses the mark.

    Raises UserError if something is at `folder`, for a run that cannot be an entry, and for a wrong
    field.
    """
    refuse_outputs([Target("--entry", folder, empty_folder)], [source])
    run, known = read_run(source, label=_name_of(folder)), [one.name for one in fields(Card)]
    ours = [r for r in run.rows if r.value is not None and not r.reference]
    systems, data, benchmarks = (
        ", ".join(dict.fromkeys(getattr(r, name) for r in ours))
        for name in ("system", "dataset", "benchmark")
    )
    how = f"Profile {part_of(run.settings, 'profile').get('name')}, seed {run.settings.get('seed')}"
    card = {"title": f"{systems} on {data}", "about": f"{how}: {benchmarks}."}
    card |= {name: text for name, _, text in (text.partition("=") for text in given)}
    for name, text in card.items():
        if name not in known:
            raise UserError(f"--card: no field {short(name, 40)}{did_you_mean(name, known)}")
        if wrong := _wrong(name, text):
            raise UserError(f"--card {name}: {wrong}")
    missing = {name: what for name, what in ASKED.items() if name not in card}
    card = {"by": f"{UNFILLED} {ASKED['by']}", **card}
    _checked(Card(**card), run)
    with whole_folder(folder) as partial:
        for name in FILES:
            shutil.copyfile(source / name, partial / name)
        text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True)
        write_whole(partial / CARD, text.encode())
    where = folder / CARD
    return [
        f"{name}: {what}: --card {name}=..., or write it in {where}"
        for name, what in missing.items()
    ]


def read_card(path: Path) -> Card:
    """Read a card. Raises UserError naming the file and the field that is wrong."""
    try:
        content = yaml.safe_load(read_text(path, LARGEST_CARD))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML: {short(' '.join(str(error).split()))}") from None
    known = [one.name for one in fields(Card)]
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a card; it has the fields {', '.join(known)}")
    for name, text in content.items():
        if name not in known:
            raise UserError(f"{path}: no field {short(name, 40)}{did_you_mean(str(name), known)}")
        if wrong := _wrong(name, text):
            raise UserError(f"{path}: {name}: {wrong}")
    if missing := [f.name for f in fields(Card) if f.default != "" and f.name not in content]:
        raise UserError(f"{path}: {missing[0]} is missing")
    return Card(**content)


def _wrong(name: str, text: object) -> str:
    """What is wrong with a field; empty if nothing is."""
    if not isinstance(text, str) or not text.strip():
        return "not a text; put it in quotes"
    if text.startswith(UNFILLED):
        return "still to be filled in"
    if len(text) > LONGEST or not text.isprintable():
        return f"not one line of at most {LONGEST} characters"
    if re.search("[<>]", text):
        return "has < or >; a card is plain text, without HTML"
    if name == "link" and not re.fullmatch(r"https://[^\s\"']+", text):
        return "not an address that begins with https://"
    return ""


# ----------------------------------------------------------------------------------------------
# Do the numbers follow from what is beside them?


def check(run: Run) -> dict[str, str]:
    """Check the numbers of an entry's run.

    Returns what of each number was taken again from the scores of its images, by `record_key`.
    Every number has a protocol, which has the hash of its fields; its direction, unit and range are
    those of the table of metrics; what was published, and why it must not be compared, is looked up
    again; its interval is that of its standard error, and the standard error that of influences.npz
    (which `read_run` compares). A mean over images is that of its scores in samples.csv, and so is
    its error, unless the pictures of a person count as one.

    Raises UserError naming the file and the number that is wrong.
    """
    taken = dict[str, str]()
    for name, described in run.protocols.items():
        if protocol_id(described) != name:
            raise UserError(f"{run.folder / RUN}: protocol {short(name, 40)} was changed by hand")
    for record in run.rows:
        key = record_key(record)
        known = run.uncertainties.get(key, UNKNOWN)
        wrong = _against_table(record, run) or _against_published(record, run)
        if record.value is not None and not wrong:
            scores = np.array([score for _, score in run.scores_of(record)])
            wrong = _against_error(record, known) or _against_scores(record, scores, known)
            if len(scores) and not wrong:
                both = known and len(known[0].values) == len(scores)
                taken[key] = "value and error" if both else "value"
        if wrong:
            where = f"{short(record.system, 40)}, {short(record.setting, 40)}, {record.metric}"
            raise UserError(f"{run.folder / RECORDS}: {where}: {wrong}")
    return taken


def _against_table(record: Record, run: Run) -> str:
    """What the table of metrics contradicts; empty if nothing."""
    metric = METRICS.get(record.metric) or run.metrics.get(record.metric)
    if metric is None:
        return "no such metric"
    if wrong := _unlike(record, metric, ("direction", "unit")):
        return wrong
    if record.value is None:
        numbers = (record.stderr, record.ci_low, record.ci_high)
        return "an error without a value" if any(x is not None for x in numbers) else ""
    if not math.isfinite(record.value):
        return f"{record.value} is not finite"
    if metric.least is not None and record.value < metric.least - SAME:
        return f"{record.value:.8g} is below {metric.least:g}"
    if metric.most is not None and record.value > metric.most + SAME:
        return f"{record.value:.8g} is above {metric.most:g}"
    return "" if record.protocol else "no protocol"


def _against_published(record: Record, run: Run) -> str:
    """What does not agree with the tables of published numbers."""
    if record.table == BY_PROTOCOL:
        ours = (record.published, record.published_metric)
        printed = {(number.value, number.metric) for number in published()}
        return "" if ours in printed | {(None, "")} else f"published: nobody printed {ours[0]}"
    bare = replace(record, **BARE)
    return _unlike(record, attach(bare, run.protocols.get(record.protocol, {})), BARE)


def _unlike(record: Record, other: object, names: Iterable[str]) -> str:
    """The first of the fields in which a record and what it should be like differ."""
    for name in names:
        if (ours := getattr(record, name)) != (theirs := getattr(other, name)):
            return f"{name} is {short(repr(ours), 80)}, not {short(repr(theirs), 80)}"
    return ""


def _against_error(record: Record, known: Uncertainty) -> str:
    """What does not agree between the standard error, its influences and the interval."""
    stderr, ends = record.stderr, (record.ci_low, record.ci_high)
    if stderr is None:
        return "an interval without a standard error" if ends != (None, None) else ""
    ours = METRICS.get(record.metric)
    if not known and ours is not None and not ours.error_alone:
        return f"a standard error without its influences in {INFLUENCES}"
    half = (error(known) or Error(stderr, math.inf)).quantile(0.975)
    assert record.value is not None
    for end, theirs in zip(ends, (record.value - half, record.value + half), strict=True):
        if end is None or abs(end - theirs) > SAME_ERROR * half + SAME * abs(record.value):
            return f"its interval is {ends[0]} to {ends[1]}, not {record.value:.8g} ± {half:.3g}"
    return ""


def _against_scores(record: Record, scores: Floats, known: Uncertainty) -> str:
    """What does not agree with the scores of the images."""
    if not len(scores):
        return f"a mean over images without their scores in {SAMPLES}" * _needs_scores(record)
    mean, value = fmean(scores), record.value
    assert value is not None
    if len(scores) != record.n or not math.isclose(mean, value, rel_tol=SAME):
        taken_again = f"{mean:.8g} of {len(scores)}"
        return f"is {value:.8g} of {record.n} images, and by {SAMPLES} {taken_again}"
    each = of_mean(scores, "images")
    if not (known and each) or len(known[0].values) != len(scores):
        return ""
    ours, theirs = np.sort(known[0].values), np.sort(each[0].values)
    if not np.allclose(ours, theirs, rtol=0, atol=SAME_ERROR * np.abs(theirs).max()):
        return f"the influences in {INFLUENCES} are not those of its scores"
    return ""


def _needs_scores(record: Record) -> bool:
    """Whether our benchmarks write the scores behind this number to samples.csv."""
    of_images = record.metric in METRICS and METRICS[record.metric].of_images
    of_persons = record.benchmark == "identity" and record.reference
    of_pairs = record.benchmark == "edits" and record.metric != "composition"
    ours = record.benchmark in SCORED and record.table != BY_PROTOCOL
    return ours and of_images and not of_persons and not of_pairs
