"""Codes of images and their labels in files, and their metrics, as `benchmarks.measure` prints them.

CODES is .npz with an array `codes` [n, d] or [n, C, H, W], or with a single array, of floats; or
.npy. LABELS is .npz with `labels` [n, K] and their `names` [K], or CSV with a header; CODES may hold
labels itself. Either may say more of the n images:

    split     train, valid or test, also as 0, 1, 2
    persons   who is in the image, a number or a name
    files     its name, by which labels are matched to codes. Else rows are in the same order. To codes
              without names they are matched by number, if they count from 0, or in order, if they ascend
    kinds     [K] in .npz: binary, classes, ordered or real

What columns of CSV mean, which cells are missing, and of which kind a label is, is said in
`diffae.data.tables`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.measuring.by_protocol import Explanation, section
from benchmarks.measuring.request import Answer, Request, answer_of, refusal
from benchmarks.metrics.codes import schema
from benchmarks.metrics.codes.data import TEST, TRAIN, Codes, Floats, LabelColumns
from benchmarks.metrics.codes.errors import LISTED, undefined
from benchmarks.metrics.codes.explain import CodeCase, explained
from benchmarks.metrics.codes.number import FEWEST
from benchmarks.metrics.codes.schema import CodeProtocol
from benchmarks.metrics.codes.table import NUMBERS, WIDEST, estimates, fields, seconds, shared_by
from diffae.data import npz
from diffae.data.dataset import KINDS
from diffae.data.names import Names, places_of_unnamed
from diffae.data.partition import SPLITS
from diffae.data.readers.label_files import csv_rows
from diffae.data.tables import (
    FILES,
    PERSONS,
    SPLIT,
    LabelTable,
    alike_labels,
    label_of,
    read_table,
    table_of,
)
from diffae.system import cli
from diffae.system.cli import printable
from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.progress import shown
from reports.records.estimate import Estimate
from reports.records.reading import few, field_text
from reports.tables.numbers import duration

CODES, LABELS, NAMES, LABEL_KINDS = "codes", "labels", "names", "kinds"


def read(path: Path, labels: Path | None = None) -> tuple[Codes, list[str]]:
    """The codes of a file with the labels of the same or of another, and lines that say what they are.

    Raises UserError naming the file, and what to do, if they are none or do not belong together.
    """
    values, own, shape = _codes(path)
    table, matched = (own, "") if labels is None else _matched(labels, path, own)
    columns = [label_of(table.path, name, cells) for name, cells in table.labels.items()]
    names, kinds, numbers, _ = zip(*columns, strict=True) if columns else ((), (), (), ())
    label_columns = LabelColumns(np.array(numbers).T, names, kinds) if columns else None
    for name in {SPLIT, PERSONS} & {*own.roles} & {*table.roles}:
        if own.roles[name] != table.roles[name]:
            raise UserError(f"{table.path}: another {name} than in {path}; take one out")
    split = (table if SPLIT in table.roles else own).split()
    people = (own.roles | table.roles).get(PERSONS)
    persons = None if people is None else pd.factorize(np.array(people))[0]
    if split is not None and not {TRAIN, TEST} <= {*split.tolist()}:
        raise UserError(f"{table.path}: the split needs train and test; or leave it out")
    listed = []
    for kind in dict.fromkeys(KINDS.values()):
        if of_kind := [label.name for label in columns if label.kind == kind]:
            listed.append(f"{len(of_kind):,} {kind} ({', '.join(few(of_kind, LISTED))})")
    units = "images" if persons is None else f"{len(np.unique(persons)):,} persons"
    counts = ", ".join(f"{np.sum(split == part):,} {name}" for name, part in SPLITS.items())
    half = f"none: what is fitted takes a seeded half of the {units}, or as its protocol says"
    lines = [f"codes: {len(values):,} x {values.shape[1]:,}, {path}"]
    lines += [f"labels: {', '.join(listed)}; {table.path}{matched}"] if columns else []
    classes = [f"{label.name}={value}" for label in columns for value in label.classes]
    lines += [f"alike: {note}"] if (note := alike_labels([*names, *classes])) else []
    lines += [f"left out: {line}" for line in table.left_out]
    lines += [f"split: {half}" if split is None else f"split: {counts}, as said; of {units}"]
    return Codes(values, label_columns, split, persons, shape, data=str(path)), lines


def measure_codes(metrics: Sequence[str], request: Request) -> Iterator[Answer]:
    """The answers on metrics of the codes of A, with the labels of B or of A, under each protocol.

    Raises UserError if a file or a protocol cannot be read.
    """
    protocols = schema.asked(request.protocol or (schema.PLAIN,), False)
    codes, about_codes = read(request.a, request.b)
    estimates_by = {
        protocol: _estimates(metrics, codes, protocol, request.seed or 0)
        for protocol in map(schema.named, protocols)
    }
    for metric, protocol in product(metrics, estimates_by):
        estimate = estimates_by[protocol][metric]
        if estimate.value is None:
            yield refusal([str(request.b or request.a)], estimate.why)
            continue
        choices = fields(metric, protocol).items()
        chosen = "; ".join(f"{field} {field_text(field, value)}" for field, value in choices)
        about = [f"protocol {protocol.name}, {protocol.code}: {chosen}", *estimate.remarks]
        over = f" over {NUMBERS[metric].error_over or codes.units.kind}"
        counts = [f"images: {estimate.n:,}"]
        yield answer_of(metric, estimate, [*about_codes, *about], counts, over)
        about_codes = []  # they are printed once


def _estimates(
    metrics: Sequence[str], codes: Codes, protocol: CodeProtocol, seed: int
) -> dict[str, Estimate]:
    """Metrics under a protocol; one that it does not define says so.

    Where the work is long, it is said first how long it takes.
    """
    each: dict[str, Estimate] = {}
    for metric in metrics:
        try:
            protocol.section(metric)
        except UserError as error:
            each[metric] = undefined(str(error))
    d = codes.values.shape[1]
    for together in shared_by(metric for metric in metrics if metric not in each):
        if d > WIDEST and together[0] in schema.BOUND_TO_AXES:
            with suppress(UserError):  # why it is undefined is in its estimate
                takes = duration(seconds(together[0], codes, protocol, seed))
                cli.say(f"{', '.join(together)}: about {takes} for {d:,} dimensions")
        each |= estimates(together, codes, protocol, seed)
    return each


def explain_codes(request: Request) -> Explanation:
    """Every metric of the codes of A by every protocol, with the causes of differences."""
    protocols = list(map(schema.named, schema.asked(request.protocol, explain=True)))
    codes, lines = read(request.a, request.b)

    def watched(cases: Sequence[CodeCase]) -> Iterator[CodeCase]:
        return shown(cases, "numbers by protocol", "numbers", len(cases))

    wide = codes.values.shape[1] > WIDEST
    left_out = [name for name in NUMBERS if wide and name in schema.BOUND_TO_AXES]
    if left_out:
        lines.append(f"left out of codes of over {WIDEST} numbers: {', '.join(left_out)}")
    each = list(explained(codes, protocols, request.seed or 0, left_out, watched))
    if all(explanation.estimate.value is None for explanation in each):
        raise UserError(f"{request.b or request.a}: {each[0].estimate.why}")
    sections = []
    for name in NUMBERS:
        if of_metric := [e for e in each if e.case.metric == name]:
            sections.append(section(name, len(codes.values), of_metric, "images"))
    return Explanation(f"{request.a.name}, by protocol", lines, sections)


def are_codes(path: Path) -> bool:
    """Whether a file holds codes, and not images or statistics. Raises UserError for a damaged one."""
    return path.suffix in (".npz", ".npy") and path.is_file() and _name(path) is not None


# ----------------------------------------------------------------------------------------------
# Files


def _name(path: Path) -> str | None:
    """The name of the array of codes, "" of .npy; None if there is none."""
    if path.suffix != ".npz":
        return "" if path.suffix == ".npy" else None
    held = npz.names(path)
    if CODES in held or len(held) != 1:
        return CODES if CODES in held else None
    (only,) = held
    with npz.opened(path, only) as (header, _):
        return only if header.dtype.kind == "f" else None


def _codes(path: Path) -> tuple[Floats, LabelTable, tuple[int, int, int] | None]:
    """The codes of a file, n x d, what it says of the images, and C x H x W of maps."""
    if (name := _name(path)) is None:
        remedy = "save them by np.savez(FILE.npz, codes=...)"
        raise UserError(f"{path}: no array `codes`, nor a single one of floats; {remedy}")
    array = npz.array(path, name)
    n, *shape = array.shape or (0,)
    if array.dtype.kind != "f" or not shape or 0 in shape:
        are = f"{array.dtype} {array.shape} are images, tokens or labels, not codes"
        raise UserError(f"{path}: {are}; save floats [n, d] or [n, C, H, W]")
    if n < FEWEST:
        raise UserError(f"{path}: {n} codes; give at least {FEWEST}")
    values = array.reshape(n, -1).astype(np.float64)
    if len(odd := np.flatnonzero(~np.isfinite(values).all(axis=1))):
        first = f"the first in row {odd[0]}, from 0; take these images out"
        raise UserError(f"{path}: {len(odd):,} of {n:,} codes are not finite, {first}")
    table = _of_npz(path, name) if name else LabelTable(path, n, {}, {}, [])
    return values, table, (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def _of_npz(path: Path, first: str) -> LabelTable:
    there = npz.names(path)
    if first not in there:
        raise UserError(f"{path}: no array `{first}`; save np.savez(FILE.npz, {first}=...)")
    with npz.opened(path, first) as (header, _):
        n = (*header.shape, 0)[0]

    def array(name: str, n: int, axes: int = 1) -> NDArray:
        cells = npz.array(path, name)
        if cells.dtype.kind not in "biufU" or cells.shape[:1] != (n,) or cells.ndim > axes:
            held = f"{name} is {cells.dtype} {cells.shape}"
            raise UserError(f"{path}: {held}; save {n:,} numbers or texts")
        return cells

    columns = array(LABELS, n, 2).reshape(n, -1).T if LABELS in there else ()
    names = [str(k) for k in range(len(columns))]
    rows = {name: array(name, n) for name in (SPLIT, PERSONS, FILES) if name in there}
    if NAMES in there and LABELS not in there:  # of images
        rows.setdefault(FILES, array(NAMES, n))
    elif NAMES in there:
        names = [printable(str(name)) for name in array(NAMES, len(columns))]
    if LABEL_KINDS in there:
        kinds = array(LABEL_KINDS, len(columns))
        if odd := set(kinds.tolist()).difference(KINDS.values()):
            raise UserError(f"{path}: kind {min(odd)!r} is none of binary, classes, ordered, real")
        names = [f"{name}:{kind}" for name, kind in zip(names, kinds, strict=True)]
    named = [*rows.items(), *zip(names, columns, strict=True)]
    with npz.reading(path, "neither numbers nor texts"):
        cells = [(name, column.tolist()) for name, column in named]
    return table_of(path, cells, n, FILES)


def _matched(path: Path, codes: Path, own: LabelTable) -> tuple[LabelTable, str]:
    """Labels of a file in the order of the `codes` of another, and how they were matched."""
    wanted = own.roles.get(FILES)
    if path.suffix == ".npz":
        table = _of_npz(path, LABELS)
    else:
        table = read_table(path, csv_rows(path), Names(wanted or ()).places)
    names = table.roles.get(FILES)
    if (wanted is None or names is None) and table.rows != own.rows:
        rows = f"{table.rows:,} rows for {own.rows:,} codes of {codes}"
        raise UserError(f"{path}: {rows}; give both the names of their images (`files`)")
    if names is None:
        return table, ", in the order of the codes"
    refuse_duplicates(names, path, "the image")
    if wanted is None:
        order = places_of_unnamed(names)
        if order is None:
            why = (
                f"the names of its images neither count from 0 nor ascend, and {codes} has no names"
            )
            remedy = "save them as `files` in the npz of the codes, or remove the names"
            raise UserError(f"{path}: {why}; {remedy} if the rows are in order")
        return table.take(order[0]), f", {order[1]}"
    row = {name: number for number, name in enumerate(names)}
    if lacking := [name for name in wanted if name not in row]:
        images = f"{len(lacking):,} images of {codes} have no row, the first {lacking[0]}"
        raise UserError(f"{path}: {images}; add them, or take their codes out")
    return table.take([row[name] for name in wanted]), ", matched by name"
