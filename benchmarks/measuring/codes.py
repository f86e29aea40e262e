"""Codes of images and their labels in files, as `benchmarks.measure` takes them.

CODES is .npz with an array `codes` [n, d] or [n, C, H, W], or with a single array, of floats; or
.npy. LABELS is .npz with `labels` [n, K] and their `names` [K], or CSV with a header; CODES may hold
labels itself. Either may say more of the n images:

    split     train, valid or test, also as 0, 1, 2
    persons   who is in the image, a number or a name; in CSV also called person or identity
    files     its name, by which labels are matched to codes; in CSV the first column if it is called
              file, image or index, or is not numeric. Else rows are in the same order. To codes without
              names they are matched by number, if they count from 0, or in order, if they ascend
    kinds     [K] in .npz: binary, classes, ordered or real; in CSV the end of a name: "age:real". Else they
              are found out as those of a labels.csv are (`label_table.kind_of`)
"""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from benchmarks.metrics.codes.data import NUMERIC, TEST, TRAIN, Codes, Floats, Ints, Labels
from benchmarks.metrics.codes.errors import LISTED
from benchmarks.metrics.codes.number import FEWEST
from benchmarks.runtime import npz
from diffae.data import dataset
from diffae.data.dataset import SPLITS
from diffae.data.names import places_of_unnamed
from diffae.data.readers import label_table
from diffae.data.readers.label_files import refuse_duplicates
from diffae.data.readers.sources import NAMES as PARTS
from diffae.system.errors import UserError
from diffae.system.files import read_text
from reports.records.reading import few

CODES, LABELS, NAMES, SAID = "codes", "labels", "names", "kinds"
OF_ROWS = SPLIT, PERSONS, FILES = "split", "persons", "files"
WHO = label_table.PERSONS
KEYS = ("file", "image", "index", "unnamed: 0")  # first columns of CSV; the last is that of pandas
KINDS = tuple(dict.fromkeys(dataset.KINDS.values()))

# What a file says of images: columns of labels, whose names may end in ":KIND", and of OF_ROWS.
Table = pd.DataFrame


def read(path: Path, labels: Path | None = None) -> tuple[Codes, list[str]]:
    """The codes of a file with the labels of the same or of another, and lines that say what they are.

    Raises UserError naming the file, and what to do, if they are none or do not belong together.
    """
    values, own, shape = _codes(path)
    table, how = (own, "") if labels is None else _matched(labels, _table(labels), path, own)
    where = labels or path
    found = [_label(where, str(k), column) for k, column in table.items() if k not in OF_ROWS]
    names, columns, kinds = zip(*found, strict=True) if found else ((), (), ())
    known = Labels(np.array(columns).T, names, kinds) if found else None
    for name in (SPLIT, PERSONS):
        if name in own and name in table and not np.array_equal(own[name], table[name]):
            raise UserError(f"{where}: another {name} than in {path}; take one out")
    rows = {**own, **table}
    persons = rows[PERSONS].factorize()[0] if PERSONS in rows else None
    split = _split(where if SPLIT in table else path, rows[SPLIT]) if SPLIT in rows else None
    of = {kind: [n for n, _, k in found if k == kind] for kind in KINDS}
    listed = [f"{len(x):,} {kind} ({', '.join(few(x, LISTED))})" for kind, x in of.items() if x]
    units = "images" if persons is None else f"{len(np.unique(persons)):,} persons"
    counts = ", ".join(f"{np.sum(split == part):,} {name}" for name, part in SPLITS.items())
    half = f"none: what is fitted takes a seeded half of the {units}, or as its protocol says"
    lines = [f"codes: {len(values):,} x {values.shape[1]:,}, {path}"]
    lines += [f"labels: {', '.join(listed)}; {where}{how}"] if found else []
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


def _codes(path: Path) -> tuple[Floats, Table, tuple[int, int, int] | None]:
    """The codes of a file, n x d, what it says of the images, and C x H x W of maps."""
    if (name := _name(path)) is None:
        how = "save them by np.savez(FILE.npz, codes=...)"
        raise UserError(f"{path}: no array `codes`, nor a single one of floats; {how}")
    with npz.opened(path, name) if name else npz.opened_npy(path) as (header, _):
        n, *shape = header.shape or (0,)
        if header.dtype.kind != "f" or not shape or 0 in shape:
            are = f"{header} are images, tokens or labels, not codes"
            raise UserError(f"{path}: {are}; save floats [n, d] or [n, C, H, W]")
        if n < FEWEST:
            raise UserError(f"{path}: {n} codes; give at least {FEWEST}")
    values = npz.array(path, name).reshape(n, -1).astype(np.float64)
    if len(odd := np.flatnonzero(~np.isfinite(values).all(axis=1))):
        first = f"the first in row {odd[0]}, from 0; take these images out"
        raise UserError(f"{path}: {len(odd):,} of {n:,} codes are not finite, {first}")
    table = _table(path, name) if name else Table(index=range(n))
    return values, table, (shape[0], shape[1], shape[2]) if len(shape) == 3 else None


def _table(path: Path, first: str = LABELS) -> Table:
    """What a file says of images; of .npz, of as many as its array `first` has rows."""
    with npz.reading(path, "neither arrays nor CSV of labels"):
        return _of_npz(path, first) if path.suffix == ".npz" else _of_csv(path)


def _of_npz(path: Path, first: str) -> Table:
    there = npz.names(path)
    if first not in there:
        raise UserError(f"{path}: no array `{first}`; save np.savez(FILE.npz, {first}=...)")
    with npz.opened(path, first) as (header, _):
        n = (*header.shape, 0)[0]

    def array(name: str, n: int, axes: int = 1) -> NDArray:
        with npz.opened(path, name) as (header, _):
            shape = header.shape
            if header.dtype.kind not in "biufU" or shape[:1] != (n,) or len(shape) > axes:
                raise UserError(f"{path}: {name} is {header}; save {n:,} numbers or texts")
        return npz.array(path, name)

    columns = array(LABELS, n, 2).reshape(n, -1).T if LABELS in there else ()
    rows = {name: array(name, n) for name in OF_ROWS if name in there}
    names = [str(k) for k in range(len(columns))]
    if NAMES in there and LABELS not in there:  # of images
        rows.setdefault(FILES, array(NAMES, n))
    elif NAMES in there:
        names = [str(name) for name in array(NAMES, len(columns))]
    if SAID in there:
        said = array(SAID, len(columns))
        if odd := set(said.tolist()).difference(KINDS):
            raise UserError(f"{path}: kind {min(odd)!r} of labels; give {', '.join(KINDS)}")
        names = [f"{name}:{kind}" for name, kind in zip(names, said, strict=True)]
    refuse_duplicates([*names, *rows], path, "the label")
    return _complete(path, Table(rows | dict(zip(names, columns, strict=True)), range(n)))


def _of_csv(path: Path) -> Table:
    text, as_text = io.StringIO(read_text(path)), {0: str.strip}
    table = pd.read_csv(
        text,
        converters=as_text,
        skipinitialspace=True,
        low_memory=False,
        float_precision="round_trip",
    )
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: rows have more fields than the header; name every column")
    first, cells = table.columns[0], table.iloc[:, 0]
    numbers = pd.to_numeric(cells, errors="coerce")
    is_text = (numbers.isna() & (cells != "")).any()
    is_key = first.lower() in KEYS or (is_text and first not in (*OF_ROWS, *WHO))
    column = {FILES: cells} if is_key else {first: cells if is_text else numbers}
    others = {name: table[name] for name in table.columns[1:] if name not in column}
    table = Table(column | others)
    return _complete(path, table.rename(columns=dict.fromkeys(WHO, PERSONS)))


def _complete(path: Path, table: Table) -> Table:
    """The table. Raises UserError if a cell is empty or not finite."""
    odd = table.isna() | table.isin([np.inf, -np.inf])
    for row, column in np.argwhere(odd.to_numpy())[:1]:
        what = f"{table.columns[column]} of row {row}, from 0, is missing or not finite"
        raise UserError(f"{path}: {what}; fill it, or take the image or the label out")
    return table


def _matched(path: Path, table: Table, of: Path, own: Table) -> tuple[Table, str]:
    """Labels in the order of the codes `of` another file, and how they were matched."""
    asked, n = own.get(FILES), len(own)
    if (asked is None or FILES not in table) and len(table) != n:
        rows = f"{len(table):,} rows for {n:,} codes of {of}"
        raise UserError(f"{path}: {rows}; give both the names of their images (`files`)")
    if FILES not in table:
        return table, ", in the order of the codes"
    table = table.set_index(table[FILES].astype(str))
    refuse_duplicates(list(table.index), path, "the image")
    if asked is None:
        return _matched_unnamed(path, table, of)
    asked = asked.astype(str)
    if len(lacking := asked[~asked.isin(table.index)]):
        names = f"{len(lacking):,} images of {of} have no row, the first {lacking.iloc[0]}"
        raise UserError(f"{path}: {names}; add them, or take their codes out")
    return table.loc[asked.to_list()], ", matched by name"


def _matched_unnamed(path: Path, table: Table, of: Path) -> tuple[Table, str]:
    """Labels with names in the order of codes without names, and how they were matched."""
    order = places_of_unnamed(list(table.index))
    if order is None:
        why = f"the names of its images neither count from 0 nor ascend, and {of} has no names"
        how = "save them as `files` in the npz of the codes, or remove the names if the rows are in the order of the codes"
        raise UserError(f"{path}: {why}; {how}")
    places, matched = order
    return table.iloc[places], f", {matched}"


# ----------------------------------------------------------------------------------------------
# Columns


def _label(path: Path, name: str, column: pd.Series) -> tuple[str, Floats, str]:
    """A label's name, its values and kind: binary is 0 or 1, classes count from 0, real stays."""
    bare, said = label_table.said_of(name)
    text = not is_numeric_dtype(column)
    low = column.str.lower() if text else column
    distinct = sorted(low.unique().tolist())
    kind = said or ("binary" if len(distinct) < 2 else label_table.kind_of(distinct))
    if (kind == "binary" and len(distinct) > 2) or (kind in NUMERIC and text):
        is_not = f"{bare} is said to be {kind}, but has values such as {distinct[-1]}"
        raise UserError(f"{path}: {is_not}; say another kind")
    if kind not in NUMERIC:
        column = pd.Series(pd.factorize(low if kind == "binary" else column, sort=True)[0])
    return bare, column.to_numpy(np.float64), kind


def _split(path: Path, column: pd.Series) -> Ints:
    """A split as numbers. Raises UserError if it is none."""
    parts = column.map(PARTS | {part: part for part in SPLITS.values()})
    if not {TRAIN, TEST} <= set(parts) or parts.isna().any():
        needed = f"{', '.join(SPLITS)}, or 0, 1, 2; and needs train and test"
        raise UserError(f"{path}: split takes {needed}; or leave it out")
    return parts.to_numpy().astype(np.int64)
