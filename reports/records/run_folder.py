"""A run: its numbers and what is known of them, and the files of its folder.

    records.csv, times.csv      one row per number; those of the machine apart
    influences.npz              the influences behind the numbers
    samples.csv                 the scores of single images
    run.json                    settings, protocols, and where the run comes from

`benchmarks` fills and writes a `Run`; tables, page and gate are views of one. While reading, a folder
that is damaged, unfinished or lacks a part is refused, since a number that is missing cannot fail the
gate.
"""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffae.system.errors import UserError, naming, refuse_duplicates
from diffae.system.files import read_json, read_text
from diffae.system.whole import write_whole
from reports.records.estimate import Estimate, Influences
from reports.records.influences import read_influences, write_influences
from reports.records.metric import NAME, Margin, Metric
from reports.records.metrics import METRICS, SHIPPED, Metrics
from reports.records.reading import LARGEST_TEXT, Fields, from_plain, part_of, short, to_plain
from reports.records.record import (
    Distinct,
    Record,
    read_csv,
    read_records,
    record_key,
    safe_cell,
    write_records,
)
from reports.records.specs import NAME as SUITE
from reports.records.specs import TableSpec, with_headlines

if TYPE_CHECKING:
    import pandas as pd

RECORDS, TIMES, INFLUENCES = "records.csv", "times.csv", "influences.npz"
RUN, SAMPLES, PAGE = "run.json", "samples.csv", "report.html"
TABLES, PICTURES, IMAGES = "tables", "pictures", "images"
FILES, FOLDERS = (RECORDS, TIMES, INFLUENCES, SAMPLES), (TABLES, PICTURES, IMAGES)
SCHEMA = 1  # of a run folder: raised when the meaning of its files changes
# What tells the rows of samples.csv apart, besides the image.
SAMPLE = ("benchmark", "system", "dataset", "split", "setting", "steps", "solver")
SAME_ERROR = 1e-3  # a standard error from influences in float32 against the one in records.csv
NameOf = Callable[[int], str]  # the file name of an image, by its index in the data set


@dataclass
class Run:
    """The numbers of a run, and what is known of them.

    `rows` are its numbers, `times` those of the machine, and `protocols` the fields of their protocols
    by id. `settings` are the user's settings by name; `metrics` those of plug-ins, as the run folder
    describes them; `table_specs` its tables; `notes` its run.json. `label` is the user's name for the
    run, if there is one. The files are in `folder`; of a run in memory it is what messages call it.
    """

    folder: Path
    rows: list[Record] = field(default_factory=list)
    protocols: dict[str, dict[str, Any]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    has_influences: bool = True
    metrics: dict[str, Metric] = field(default_factory=dict)
    times: list[Record] = field(default_factory=list)
    table_specs: tuple[TableSpec, ...] = ()
    label: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def records(self) -> dict[str, Record]:
        """The rows by `record_key`."""
        return {record_key(record): record for record in self.rows}

    @property
    def specs(self) -> tuple[TableSpec, ...]:
        """The specs of the tables, with the headlines that suit the numbers."""
        base = part_of(self.settings, "profile").get("base")
        return with_headlines(self.table_specs, self.rows, self.protocols, base)

    @property
    def suite(self) -> str:
        """The suite that was run and the start of its hash, "decodable-v1 (0123456789ab)"; empty without one."""
        about = part_of(self.settings, "suite")
        name, sha256 = str(about.get("name", "")), short(str(about.get("sha256"))[:12])
        return f"{name} ({sha256})" if SUITE.fullmatch(name) else ""

    # ------------------------------------------------------------------------------------------
    # While it is measured

    @cached_property
    def _distinct(self) -> Distinct:
        return Distinct(Path("results"))

    def add(self, record: Record) -> None:
        """Add a record. Raises UserError if its number is there already."""
        records = self.times if record.of_machine else self.rows
        self._distinct.add(record, f"row {len(records) + 1}")
        records.append(record)
        if record.protocol:
            self.protocols[record.protocol] = dict(record.measured_by)

    @property
    def has_measured(self) -> bool:
        """Whether a system has a number; references such as chance and real images are none."""
        titles = part_of(self.notes, "titles").values()
        numbers = (record for record in (*self.rows, *self.times) if record.value is not None)
        return any(record.system in titles or not record.reference for record in numbers)

    @property
    def failures(self) -> list[Record]:
        """The rows of systems, or of plug-ins' benchmarks, that broke; each says why in its note.

        If nothing was measured, they are all rows without a value.
        """
        all_lack = not self.has_measured
        return [row for row in self.rows if row.failed or (all_lack and row.value is None)]

    # ------------------------------------------------------------------------------------------
    # Its files, each written whole or not at all

    def write(self) -> None:
        """Write records.csv, if there are rows, and run.json: the notes, settings and protocols, and the
        metrics and tables of the numbers.
        """
        if self.rows:
            write_records(self.folder / RECORDS, self.rows)
        measured = (record.metric for record in (*self.rows, *self.times))
        content = {**self.notes, "settings": self.settings, "protocols": self.protocols}
        content |= {"schema": SCHEMA, **described(measured, self.table_specs)}
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        write_whole(self.folder / RUN, text.encode())

    def write_details(self, name_of: NameOf) -> None:
        """Write influences.npz, samples.csv, and times.csv if there are times."""
        write_influences(self.folder / INFLUENCES, (*self.rows, *self.times))
        samples = samples_of(self.rows, name_of)
        for name in ("file", "system", "dataset", "setting"):
            samples[name] = samples[name].map(safe_cell)
        write_whole(
            self.folder / SAMPLES, samples.to_csv(index=False, lineterminator="\n").encode()
        )
        if self.times:
            write_records(self.folder / TIMES, self.times)

    def scores_of(self, record: Record) -> list[tuple[str, float]]:
        """The score of each image behind a record, after the image's file name, as samples.csv has them;
        none if it is no mean over images.

        Raises UserError naming samples.csv if it is missing or damaged.
        """
        cells = (getattr(record, name) for name in SAMPLE)
        place = tuple(str(safe_cell("" if cell is None else str(cell))) for cell in cells)
        return self._scores.get((*place, record.metric), [])

    @cached_property
    def _scores(self) -> dict[tuple[str, ...], list[tuple[str, float]]]:
        path, scores = self.folder / SAMPLES, dict[tuple[str, ...], list[tuple[str, float]]]()
        try:
            rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
            refuse_duplicates(rows.fieldnames or (), path, "column")
            for row in rows:
                place, file = [row.pop(name) for name in SAMPLE], row.pop("file")
                for metric, score in row.items():
                    if score:
                        scores.setdefault((*place, metric), []).append((file, float(score)))
        except (KeyError, ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{path}: not the scores of a run: {short(error)}") from None
        return scores


def samples_of(records: Iterable[Record], name_of: NameOf) -> "pd.DataFrame":
    """One row per image, system and setting, with a column for every score that is a mean over images.

    `image` is the index in the data set, `file` its name. A score that belongs to a different benchmark
    is empty.
    """
    import pandas as pd

    fields = (*SAMPLE, "calls")
    scores: dict[tuple[object, ...], dict[str, pd.Series]] = {}
    for record in records:
        if (of_images := record.estimate.scores) is not None:
            column = pd.Series(of_images.values, index=of_images.images)
            place = tuple(getattr(record, name) for name in fields)
            # + 0.0: hits and misses are numbers
            scores.setdefault(place, {})[record.metric] = column + 0.0
    frames = [pd.DataFrame(columns=[*fields, "image", "file"])] if not scores else []
    for place, columns in scores.items():
        frame = pd.DataFrame(columns)
        about = dict(zip(fields, place, strict=True)) | {"image": frame.index}
        files = [name_of(int(image)) for image in frame.index]
        frames.append(pd.DataFrame({**about, "file": files}, index=frame.index).join(frame))
    samples = pd.concat(frames, ignore_index=True)
    return samples.astype({"steps": "Int64", "calls": "Int64", "image": "int64"})


# ----------------------------------------------------------------------------------------------
# Reading


def read_notes(path: Path) -> dict[str, Any]:
    """Read the run.json at `path`. Raises UserError unless it has this schema version."""
    notes = read_json(path, LARGEST_TEXT)
    if (schema := notes.get("schema")) != SCHEMA:
        version = "of no schema" if schema is None else f"of schema {short(schema, 40)}"
        raise UserError(f"{path}: {version}, and this version reads {SCHEMA}; measure again")
    return notes


def read_run(folder: Path, label: str = "", finished: bool = True) -> Run:
    """Read a run folder, or a baseline copied from one. Raises UserError naming the file that is wrong,
    and for a run that has not `finished`, if it must have.
    """
    path, records, influences = (folder / name for name in (RUN, RECORDS, INFLUENCES))
    notes = read_notes(path)
    if finished and notes.get("complete") is not True:
        raise UserError(f"{path}: the run is not complete; run its command again to finish it")
    rows = read_records(records)
    if not rows:
        raise UserError(f"{records}: no rows")
    protocols, settings = notes.get("protocols"), notes.get("settings", {})
    if not isinstance(protocols, dict) or not all(isinstance(p, dict) for p in protocols.values()):
        raise UserError(f"{path}: no protocols; give the folder of a finished run")
    if not isinstance(settings, dict):
        raise UserError(f"{path}: settings is not an object")
    if unknown := {r.protocol for r in rows} - protocols.keys() - {""}:
        raise UserError(f"{records}: {RUN} has no protocol {short(min(unknown), 40)}")
    metrics, specs = brought_in(path, notes)
    times = read_records(folder / TIMES) if os.path.lexists(folder / TIMES) else []
    there = os.path.lexists(influences)
    by_key = read_influences(influences) if there else {}
    rows = [
        _with_influences(influences, record, by_key.get(record_key(record), ())) for record in rows
    ]
    rows = [replace(r, measured_by=protocols.get(r.protocol, {})) for r in rows]
    return Run(folder, rows, protocols, settings, there, metrics, times, specs, label, notes)


def _with_influences(path: Path, record: Record, influences: Influences) -> Record:
    """The record with the influences behind it. Raises UserError if they do not give its standard
    error: they belong to a different run.
    """
    of_influences, stderr = Estimate(None, influences).stderr, record.stderr
    if of_influences is None:
        return record
    if record.value is not None and math.isfinite(record.value):
        largest = max(of_influences, stderr or 0.0)
        if stderr is None or abs(of_influences - stderr) > SAME_ERROR * largest:
            has = None if stderr is None else f"{stderr:.3g}"
            raise UserError(
                f"{path}: does not belong to this {RECORDS}: a standard error of {of_influences:.3g} where the row "
                f"has {has} ({short(record_key(record), 200)})"
            )
    return replace(record, estimate=replace(record.estimate, influences=influences))


# ----------------------------------------------------------------------------------------------
# Metrics and tables of plug-ins in run.json, so that a run folder can be read without them


def described(metrics: Iterable[str], tables: Iterable[TableSpec]) -> dict[str, Any]:
    """The entries `metrics` (those that do not ship, by name) and `tables` of a run.json."""
    brought = sorted(name for name in {*metrics} - SHIPPED if name in METRICS)
    rows = {name: to_plain(METRICS[name]) for name in brought}
    return {"metrics": rows, "tables": [to_plain(spec) for spec in tables]}


def brought_in(path: Path, notes: Fields) -> tuple[dict[str, Metric], tuple[TableSpec, ...]]:
    """The metrics of plug-ins and the tables in the run.json at `path`, which holds `notes`; built-in
    metrics keep their definition. Raises UserError naming the file and what is wrong in it.
    """
    rows, specs = notes.get("metrics", {}), notes.get("tables", [])
    if not isinstance(rows, dict):
        raise UserError(f"{path}: metrics is not an object")
    if not isinstance(specs, list):
        raise UserError(f"{path}: tables is not a list")
    if wrong := [name for name in rows if not NAME.fullmatch(name)]:
        raise UserError(f"{path}: {short(repr(wrong[0]), 40)} cannot be a metric's name")
    metrics = {}
    for name in (name for name in rows if name not in SHIPPED):
        with naming(f"{path}: metric {name}", ValueError):
            metrics[name] = from_plain(Metric, rows[name])
    with naming(f"{path}: tables", ValueError):
        return metrics, tuple(from_plain(TableSpec, spec) for spec in specs)


# ----------------------------------------------------------------------------------------------
# Margins


def read_margins(
    path: Path | None = None, measured: Collection[str] = (), brought: Metrics | None = None
) -> dict[str, Margin]:
    """Margins by metric: those of the table of metrics and of plug-ins (`brought`), or from a CSV file.

    Raises UserError naming the file and line of what is wrong, and for a metric that neither has a
    margin in the table nor is among those `measured`: the margin of a misspelt metric would have no
    effect.
    """
    rows = METRICS | dict(brought or {})
    ours = {name: row.margin for name, row in rows.items() if row.margin is not None}
    if path is None:
        return ours
    margins: dict[str, Margin] = {}
    for (name, size, kind, why), at in read_csv(path, ("metric", "margin", "of", "why")):
        where = f"{path}, {at}"
        if name in margins:
            raise UserError(f"{where}: {name} occurs twice")
        if name not in {*ours, *measured}:
            raise UserError(f"{where}: no metric {short(name, 40)!r} was measured")
        try:
            margins[name] = Margin(float(size), why, is_share=("value", "share").index(kind) == 1)
        except ValueError:
            rule = "a margin is a number from 0 up, of 'value' or of 'share'"
            raise UserError(f"{where}: {rule}") from None
    return margins
