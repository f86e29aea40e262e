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
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from diffae.system.errors import UserError, naming
from diffae.system.plain_yaml import read_yaml
from reports.records.estimate import Error, Estimate, Floats, influences_on_mean
from reports.records.metrics import METRICS
from reports.records.published import TABLES, attach
from reports.records.reading import few, from_plain, part_of, rows_of, short
from reports.records.record import Record, hash_of, protocol_id, record_key
from reports.records.run_folder import INFLUENCES, RECORDS, RUN, SAME_ERROR, SAMPLES, Run, read_run
from reports.records.settings import settings_of
from reports.records.specs import NAME
from reports.records.tokenizers import BY_PROTOCOL

CARD = "card.yaml"
FILES = (RECORDS, SAMPLES, INFLUENCES, RUN)
LARGEST_CARD, LONGEST = 2**16, 600  # bytes of a card, characters of a field
SAME = 1e-6  # relative: a number against the mean of the scores that samples.csv prints
# Our benchmarks that write the scores behind their means over images to samples.csv.
SCORED = ("reconstruction", "probes", "identity", "edits", "latent", "denoising", "variation")
OURS = (*SCORED, *"fewshot unconditional memorisation representation interpolation cost".split())
# The fields of a protocol of which n cannot exceed the first that it has.
COUNTS = ("n", "samples", "dataset_images")
# The systems and rows that are references, and settings that may be references of any system.
REFERENCES = r"(pixels \+ PCA|random encoder|ImageNet EfficientNet-lite0|chance|naive|real images)( of the class| \(.+\))?(, .+)?|.+ \+ autoencoding"
SCALES = r".*(code of the truth|not edited|real images, the other half|no edit, encoded .+)|rotated at random|principal components|noise"
# The numbers of checkpoints and of codes that ship, whose protocols are not known here.
PRINTED = {float(row["value"]) for name in ("tokenizers.csv", "codes.csv") for row in rows_of(name)}
# The suites that ship, with their hashes.
SUITES = {"decodable-v1": "b0703ab6e1f2cd526b04ab48cfe67d3327fce958ca36cb3d8866cef04c819cea"}


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

    Returns the keys of the numbers that were taken again from the scores of their images.
    Every number has a protocol, which has the hash of its fields; its direction, unit and range are
    those of the table of metrics; its interval is that of its standard error, and the standard error
    that of influences.npz (which `read_run` compares). A mean over images is that of its scores in
    samples.csv, and so is its error, unless the pictures of a person count as one.

    Raises UserError naming the file and the number that is wrong.
    """
    taken = set[str]()
    if wrong := _against_suite(run):
        raise UserError(f"{run.folder / RUN}: settings: {wrong}")
    for name, described in run.protocols.items():
        if protocol_id(described) != name:
            raise UserError(f"{run.folder / RUN}: protocol {short(name, 40)} was changed by hand")
    for record in run.rows:
        key = record_key(record)
        wrong = _against_table(record, run)
        if record.value is not None and not wrong:
            scores = np.array([score for _, score in run.scores_of(record)])
            wrong = _against_run(record, run) or _against_published(record, run)
            wrong = wrong or _against_error(record) or _against_scores(record, scores)
            if len(scores):
                taken.add(key)
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


def _against_suite(run: Run) -> str:
    """What of a run's settings contradicts the suite that it names; empty if nothing, or without one."""
    suite, profile = part_of(run.settings, "suite"), part_of(run.settings, "profile")
    name, content = str(suite.get("name", profile.get("name"))), part_of(suite, "content")
    if "suite" not in run.settings and name not in SUITES:
        return ""
    if not SUITES.get(name) == suite.get("sha256") == hash_of(content):
        return f"{short(name, 40)} with this hash and content is no suite; measure the suite again"
    expected = settings_of({"sections": content["settings"]})
    expected |= {key: content[key] for key in ("benchmarks", "seed", "precision")}
    expected |= {"attributes": [], "keep": None, "size": None}
    expected["protocols"] = [*content["protocol"], False]
    ours = run.settings | settings_of(profile)
    wrong = sorted(key for key in expected if ours.get(key) != expected[key])
    wrong += sorted({*content["benchmarks"]} - {record.benchmark for record in run.rows})
    return f"{', '.join(few(wrong, 3))}: not as {name} says; measure it again" if wrong else ""


def _against_run(record: Record, run: Run) -> str:
    """What the settings of the run contradict, or the protocol, or the names of references."""
    protocol, stated = run.protocols[record.protocol], run.settings | {"dataset": record.dataset}
    for name in ("dataset", "data_sha256", "seed", "precision"):
        if protocol.get(name, stated.get(name)) != stated.get(name):
            return f"its protocol has another {name} than the run"
    most = next((protocol[name] for name in COUNTS if type(protocol.get(name)) is int), math.inf)
    if record.n is not None and record.n > most:
        return f"n is {record.n}, and by its protocol at most {most}"
    is_scale = re.fullmatch(REFERENCES, record.system) or re.fullmatch(SCALES, record.setting)
    if record.reference and record.benchmark in OURS and not is_scale:
        return "reference is True, which this system is not"
    return _against_content(record, run)


def _against_content(record: Record, run: Run) -> str:
    """What the content of the run's suite contradicts: counts, protocols or metric networks."""
    protocol, suite = run.protocols[record.protocol], part_of(run.settings, "suite")
    if not (content := part_of(suite, "content")):
        return ""
    sizes = content["settings"].get("samples", {}) | content["settings"].get(record.benchmark, {})
    splits = [x for x in part_of(run.notes, "images").values() if type(x) is int]
    limits = [math.inf, *splits, *(images // 2 for images in splits)]  # images, and pairs of them
    counts = {min(x, limit) for x in sizes.values() if type(x) is int for limit in limits}
    has_fewer = record.benchmark in ("edits", "fewshot") or record.metric == "density_cv"
    n = None if has_fewer or record.reference else protocol.get("n", record.n)
    ours = [*(protocol.get(name) for name in sizes if name != "times"), n]
    if wrong := [x for x in ours if type(x) is int and x not in counts]:
        return f"{wrong[0]} images, which is no count of the suite"
    parts = content["protocol"].get(record.setting, ()) if record.table == BY_PROTOCOL else [{}]
    if not any(part.items() <= protocol.items() for part in parts):
        return "its protocol is not that of the suite"
    network = getattr(METRICS.get(record.metric), "network", "")
    weights = [protocol[name] for name in protocol if name.endswith("_sha256")]
    if network and not any(sha256 in content["networks"].get(network, ()) for sha256 in weights):
        return f"{network} has other weights than in the suite"
    return ""


def _against_published(record: Record, run: Run) -> str:
    """What does not agree with the published numbers that ship."""
    bare = replace(record, published=None, not_comparable="")
    attached = attach(bare, run.protocols[record.protocol])
    ours, shipped = ((r.published, r.not_comparable) for r in (record, attached))
    alike = ours == shipped
    if record.table not in TABLES:
        alike = record.published in {None, *PRINTED}
    return "" if alike else f"published is {record.published}, not as in the tables that ship"


def _against_error(record: Record) -> str:
    """What does not agree between the standard error, its influences and the interval."""
    error, influences = record.estimate.error, record.estimate.influences
    if error is None:
        return ""
    metric = METRICS.get(record.metric)
    if not influences and metric is not None and not metric.error_alone:
        return f"a standard error without its influences in {INFLUENCES}"
    of_influences = Estimate(record.value, influences).error
    half = (of_influences or Error(error.stderr, math.inf)).quantile(0.975)
    assert record.value is not None
    if abs(error.quantile(0.975) - half) > SAME_ERROR * half + SAME * abs(record.value):
        interval = f"{record.ci_low} to {record.ci_high}"
        return f"its interval is {interval}, not {record.value:.8g} ± {half:.3g}"
    return ""


def _against_scores(record: Record, scores: Floats) -> str:
    """What does not agree with the scores of the images."""
    if not len(scores):
        needed = _needs_scores(record)
        return f"a mean over images without their scores in {SAMPLES}" if needed else ""
    mean, value = fmean(scores), record.value
    assert value is not None
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


def _needs_scores(record: Record) -> bool:
    """Whether our benchmarks write the scores behind this number to samples.csv."""
    of_images = record.metric in METRICS and METRICS[record.metric].of_images
    of_persons = record.benchmark == "identity" and record.reference
    of_pairs = record.benchmark == "edits" and record.metric != "composition"
    is_scored = record.benchmark in SCORED and record.table != BY_PROTOCOL
    return is_scored and of_images and not of_persons and not of_pairs
