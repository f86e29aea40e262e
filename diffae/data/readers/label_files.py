"""Label files of CelebA and of data sets derived from it: attributes, or one number for each image.

Fields are separated by blanks, as in the authors' files, or by commas and under a header, as on
Kaggle (`list_attr_celeba.csv`). For a damaged file, or a path that is not a file, every function here
raises a `UserError` that names the file and the line.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from diffae.data.dataset import LabelFields, Split
from diffae.system.errors import UserError, refuse_duplicates
from diffae.system.files import read_text

CELEBA_ATTRIBUTES = "list_attr_celeba.txt"
LONGEST_NUMBER = 18  # digits: less than 2^63


class CelebaLabels(NamedTuple):
    """The labels of N images, with their `names` as the attribute file lists them.

    `files` are the files that were read, and the first is the attribute file. `whole` has the name and
    the number of images of the whole data set.
    """

    names: list[str]
    files: tuple[Path, ...]
    fields: LabelFields
    split: Split
    whole: tuple[str, int]

    def title(self, folder: str) -> str:
        """The name of the data set in this folder."""
        name, size = self.whole
        return honest_name(name, len(self.names) == size, folder)


def honest_name(name: str, complete: bool, folder: str) -> str:
    """The `name` of a data set if it is complete, else the folder's name, or "`name`-subset".

    A subset, or another data set in the same layout, must not pass for the real one in a table.
    """
    if complete:
        return name
    return f"{name}-subset" if folder == name else folder


def find_label_file(folder: Path, name: str) -> Path | None:
    """The file `name` of `folder`, or the file of the same name with suffix .csv; None without either.

    Even a broken link counts: reading it is an error, so that its labels are not silently left out.
    """
    forms = [folder / name, (folder / name).with_suffix(".csv")]
    there = [path for path in forms if os.path.lexists(path)]
    if len(there) > 1:
        raise UserError(f"{folder}: has {there[0].name} and {there[1].name}; take one of them out")
    return there[0] if there else None


def read_attributes(path: Path) -> tuple[list[str], LabelFields]:
    """The names of N images in an attribute file, the names of A attributes, and bool N x A."""
    rows = read_rows(path)
    count, attribute_names, first = read_header(path, rows)
    following = len(rows) - first
    if following != count:
        raise UserError(f"{path}: line 1 promises {count} images, but {following} rows follow")
    names, values = read_values(path, rows, first, len(attribute_names), ("-1", "1"))
    return names, {"attribute_names": attribute_names, "attributes": np.array(values) == "1"}


def read_values(
    path: Path, rows: list[list[str]], first: int, columns: int, allowed: Sequence[str] = ()
) -> tuple[list[str], list[list[str]]]:
    """The names of images, and as many values of each as there are `columns`, from the row `first` on.

    Raises UserError for a value that is not `allowed`; by default whole numbers are.
    """
    for line, (_, *values) in enumerate(rows[first:], start=first + 1):
        where = f"{path}: line {line}"
        if len(values) != columns:
            raise UserError(f"{where}: an image name and {len(values)} values, not {columns}")
        odd = set(values) - set(allowed) if allowed else {v for v in values if not v.isdecimal()}
        if odd:
            raise UserError(f"{where}: {min(odd)!r:.40} is not {', '.join(allowed) or 'a number'}")
    names = [row[0] for row in rows[first:]]
    refuse_duplicates(names, path, "image")
    return names, [row[1:] for row in rows[first:]]


def read_header(path: Path, rows: list[list[str]]) -> tuple[int, tuple[str, ...], int]:
    """The number of images, the names of the attributes, and the number of rows of the header.

    The header of CelebA's own file has two rows, that of a CSV file one.
    """
    if is_csv(path):
        if len(rows) < 2 or len(rows[0]) < 2:
            raise UserError(f"{path}: expected a line image_id,ATTRIBUTE,..., then rows")
        count, names, first = len(rows) - 1, tuple(rows[0][1:]), 1
    else:
        if len(rows) < 3 or len(rows[0]) > 1 or not rows[0][0].isdecimal() or rows[1] == [""]:
            raise UserError(f"{path}: expected a number, a line of attribute names, then rows")
        count, names, first = whole_number(rows[0][0], f"{path}: line 1"), tuple(rows[1]), 2
    refuse_duplicates(names, path, "attribute")
    for name in names:
        if not name or not name.isprintable():
            raise UserError(f"{path}: line {first}: attribute {name!r} cannot be printed")
    return count, names, first


def whole_number(text: str, where: str) -> int:
    """The number that is written in decimal digits. Raises `UserError` if int64 cannot hold it."""
    if len(text.strip()) > LONGEST_NUMBER:
        raise UserError(f"{where}: {text.strip():.20}... is too large a number")
    return int(text)


def read_column(
    folder: Path, file: str, names: Sequence[str], allowed: Sequence[str] = (), only: str = ""
) -> np.ndarray | None:
    """int64 N: the number of each of `names` in a file of "name number" rows; None without the file.

    If `only`, the name of another file, is given, the file must list no images but `names`.
    """
    path = find_label_file(folder, file)
    if path is None:
        return None
    rows = read_rows(path)
    first = 1 if is_csv(path) and rows and not rows[0][-1].isdecimal() else 0
    listed, values = read_values(path, rows, first, 1, allowed)
    rows_by_name = zip(listed, values, strict=True)
    numbers = {name: whole_number(text, f"{path}: {name}") for name, [text] in rows_by_name}
    refuse_difference(path, "has no row for", set(names) - set(numbers))
    if only:
        refuse_difference(path, f"lists what {only} does not:", set(numbers) - set(names))
    return np.array([numbers[name] for name in names], np.int64)


def files_of(folder: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The label files of these `names`, or with suffix .csv, that are in `folder`."""
    return tuple(path for name in names if (path := find_label_file(folder, name)))


def names_on_disk(folder: Path, labels: CelebaLabels) -> tuple[str, ...]:
    """The file of each listed image, which may have another suffix: CelebA's PNG files are listed as jpg."""
    listed, attribute_file = labels.names, labels.files[0].name
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the images of {attribute_file} belong there")
    present = set(os.listdir(folder))
    by_stem = {os.path.splitext(name)[0]: name for name in sorted(present)}
    stems = [os.path.splitext(name)[0] for name in listed]
    pairs = list(zip(listed, stems, strict=True))
    files = [name if name in present else by_stem.get(stem, "") for name, stem in pairs]
    missing = [name for name, file in zip(listed, files, strict=True) if not file]
    if missing:
        count = f"{len(missing)} of {len(listed)} listed images"
        raise UserError(f"{folder}: {count} missing, first {missing[0]}")
    refuse_duplicates(files, labels.files[0], "the image file")
    return tuple(files)


def read_rows(path: Path) -> list[list[str]]:
    """The fields of each line, at least one. Those of a .csv file are not separated by blanks.

    Lines may end in any way, and empty lines at the end do not count.
    """
    if is_csv(path):
        return csv_rows(path)
    return [line.split() or [""] for line in read_text(path).rstrip().splitlines()]


def csv_rows(path: Path) -> list[list[str]]:
    """The fields of each row of a CSV file. Line 1 decides whether commas, semicolons or tabs separate them."""
    text = read_text(path).rstrip("\r\n ")
    first = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    separator, *others = [sign for sign in ",;\t" if sign in first] or [","]
    if others:
        raise UserError(f"{path}: line 1 has {separator!r} and {others[0]!r}; quote the names")
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return [[field.strip() for field in row] or [""] for row in reader]
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: not a CSV file ({error})") from None


def is_csv(path: Path) -> bool:
    return path.suffix == ".csv"


def refuse_difference(path: Path, problem: str, names: set[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UserError(f"{path}: {problem} {min(names)}{more}")
