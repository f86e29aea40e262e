"""Codes of images and their labels in files, as `benchmarks.measure` takes them.

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

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.metrics.codes.data import TEST, TRAIN, Codes, Floats, Labels
from benchmarks.metrics.codes.errors import LISTED
from benchmarks.metrics.codes.number import FEWEST
from diffae.data import npz
from diffae.data.dataset import KINDS, SPLITS
from diffae.data.names import Names, places_of_unnamed
from diffae.data.readers.label_files import csv_rows
from diffae.data.tables import FILES, PERSONS, SPLIT, LabelTable, label_of, read_table, table_of
from diffae.system.cli import printable
from diffae.system.errors import UserError, refuse_duplicates
from reports.records.reading import few

CODES, LABELS, NAMES, SAID = "codes", "labels", "names", "kinds"


def read(path: Path, labels: Path | None = None) -> tuple[Codes, list[str]]:
    """The codes of a file with the labels of the same or of another, and lines that say what they are.

    Raises UserError naming the file, and what to do, if they are none or do not belong together.
    """
    values, own, shape = _codes(path)
    table, matched = (own, "") if labels is None else _matched(labels, path, own)
    columns = [label_of(table.path, name, cells) for name, cells in table.labels.items()]
    names, kinds, numbers, _ = zip(*columns, strict=True) if columns else ((), (), (), ())
    known = Labels(np.array(numbers).T, names, kinds) if columns else None
    for name in {SPLIT, PERSONS} & {*own.roles} & {*table.roles}:
        if own.roles[name] != table.roles[name]:
            raise UserError(f"{table.path}: another {name} than in {path}; take one out")
    split = (table if SPLIT in table.roles else own).split()
    people = (own.roles | table.roles).get(PERSONS)
    persons = None if people is None else pd.factorize(np.array(people))[0]
    if split is not None and not {TRAIN, TEST} <= {*split.tolist()}:
        raise UserError(f"{table.path}: the split needs train and test; or leave it out")
    of = {kind: [label.name for label in columns if label.kind == kind] for kind in KINDS.values()}
    listed = [f"{len(x):,} {kind} ({', '.join(few(x, LISTED))})" for kind, x in of.items() if x]
    units = "images" if persons is None else f"{len(np.unique(persons)):,} persons"
    counts = ", ".join(f"{np.sum(split == part):,} {name}" for name, part in SPLITS.items())
    half = f"none: what is fitted takes a seeded half of the {units}, or as its protocol says"
    lines = [f"codes: {len(values):,} x {values.shape[1]:,}, {path}"]
    lines += [f"labels: {', '.join(listed)}; {table.path}{matched}"] if columns else []
    lines += [f"left out: {line}" for line in table.left_out]
    lines += [f"split: {half}" if split is None else f"split: {counts}, as said; of {units}"]
    return Codes(values, known, split, persons, shape), lines


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
        how = "save them by np.savez(FILE.npz, codes=...)"
        raise UserError(f"{path}: no array `codes`, nor a single one of floats; {how}")
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
    if SAID in there:
        said = array(SAID, len(columns))
        if odd := set(said.tolist()).difference(KINDS.values()):
            raise UserError(f"{path}: kind {min(odd)!r} is none of binary, classes, ordered, real")
        names = [f"{name}:{kind}" for name, kind in zip(names, said, strict=True)]
    named = [*rows.items(), *zip(names, columns, strict=True)]
    with npz.reading(path, "neither numbers nor texts"):
        cells = [(name, column.tolist()) for name, column in named]
    return table_of(path, cells, n, FILES)


def _matched(path: Path, of: Path, own: LabelTable) -> tuple[LabelTable, str]:
    """Labels of a file in the order of the codes `of` another, and how they were matched."""
    wanted = own.roles.get(FILES)
    if path.suffix == ".npz":
        table = _of_npz(path, LABELS)
    else:
        table = read_table(path, csv_rows(path), Names(wanted or ()).places)
    names = table.roles.get(FILES)
    if (wanted is None or names is None) and table.rows != own.rows:
        rows = f"{table.rows:,} rows for {own.rows:,} codes of {of}"
        raise UserError(f"{path}: {rows}; give both the names of their images (`files`)")
    if names is None:
        return table, ", in the order of the codes"
    refuse_duplicates(names, path, "the image")
    if wanted is None:
        order = places_of_unnamed(names)
        if order is None:
            why = f"the names of its images neither count from 0 nor ascend, and {of} has no names"
            how = "save them as `files` in the npz of the codes, or remove the names"
            raise UserError(f"{path}: {why}; {how} if the rows are in order")
        return table.take(order[0]), f", {order[1]}"
    row = {name: number for number, name in enumerate(names)}
    if lacking := [name for name in wanted if name not in row]:
        images = f"{len(lacking):,} images of {of} have no row, the first {lacking[0]}"
        raise UserError(f"{path}: {images}; add them, or take their codes out")
    return table.take([row[name] for name in wanted]), ", matched by name"
