"""Label files of CelebA and of what descends from it: attributes, one number an image, names.

Every reader here answers a damaged file with a `UserError` that names the file and the line.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffae.data.dataset import Dataset, ImageSource
from diffae.data.transforms import Transform
from diffae.errors import UserError

LONGEST_NUMBER = 18  # digits: less than 2^63


@dataclass(frozen=True, eq=False)
class Labels:
    """What the label files say of N images; the fields are those of `Dataset`.

    `names` are the images as the attribute file lists them, `files` the files that were read.
    """

    names: list[str]
    attribute_names: tuple[str, ...]
    attributes: np.ndarray
    identities: np.ndarray | None
    partition: np.ndarray
    partition_source: str
    files: tuple[Path, ...]

    def dataset(self, name: str, root: Path, source: ImageSource, transform: Transform) -> Dataset:
        return Dataset(
            name=name,
            root=root,
            source=source,
            transform=transform,
            partition=self.partition,
            partition_source=self.partition_source,
            attribute_names=self.attribute_names,
            attributes=self.attributes,
            identities=self.identities,
        )


def honest_name(known: str, complete: bool, folder: str) -> str:
    """`known` for the whole data set, else the folder's name, which may not be `known` either.

    A subset, or another data set in the same layout, must not pass for the real one in a table.
    """
    if complete:
        return known
    return f"{known}-subset" if folder == known else folder


def read_attributes(path: Path) -> tuple[list[str], tuple[str, ...], np.ndarray]:
    """Image names (N), attribute names (A) and bool N x A of an attribute file."""
    lines = read_lines(path)
    count, attribute_names = read_header(path, lines)
    if len(lines) - 2 != count:
        raise UserError(f"{path}: line 1 promises {count} images, but {len(lines) - 2} rows follow")
    names, attributes = [], np.empty((count, len(attribute_names)), bool)
    for row, line in enumerate(lines[2:]):
        name, *values = line.split() or [""]
        check_values(values, len(attribute_names), f"{path}: line {row + 3}")
        names.append(name)
        attributes[row] = [value == "1" for value in values]
    refuse_duplicates(names, path, "image")
    return names, attribute_names, attributes


def read_header(path: Path, lines: list[str]) -> tuple[int, tuple[str, ...]]:
    if len(lines) < 3 or not lines[0].strip().isdecimal() or not lines[1].strip():
        raise UserError(
            f"{path}: expected a number of images, a line of attribute names, then rows"
        )
    names = tuple(lines[1].split())
    refuse_duplicates(names, path, "attribute")
    for name in names:
        if not name.isprintable():
            raise UserError(f"{path}: line 2: attribute {name!r} cannot be printed; rename it")
    return whole_number(lines[0], f"{path}: line 1"), names


def whole_number(text: str, where: str) -> int:
    """The number of decimal digits; `UserError` where int64 cannot hold it."""
    if len(text.strip()) > LONGEST_NUMBER:
        raise UserError(f"{where}: {text.strip():.20}... is too large a number")
    return int(text)


def check_values(values: list[str], count: int, where: str) -> None:
    if len(values) != count:
        raise UserError(f"{where}: {len(values)} values for {count} attributes")
    strange = set(values) - {"1", "-1"}
    if strange:
        raise UserError(f"{where}: value {min(strange)!r} is neither -1 nor 1")


def read_numbers(path: Path, allowed: tuple[int, ...] | None = None) -> dict[str, int] | None:
    """A file of "name number" rows; None without one."""
    if not path.is_file():
        return None
    rows = [
        read_row(line, allowed, f"{path}: line {number}")
        for number, line in enumerate(read_lines(path), start=1)
    ]
    refuse_duplicates([name for name, _ in rows], path, "image")
    return dict(rows)


def read_row(line: str, allowed: tuple[int, ...] | None, where: str) -> tuple[str, int]:
    name, *values = line.split() or [""]
    if len(values) != 1 or not values[0].isdecimal():
        raise UserError(f"{where}: expected an image name and a number")
    number = whole_number(values[0], where)
    if allowed is not None and number not in allowed:
        raise UserError(f"{where}: {number} is not one of {', '.join(map(str, allowed))}")
    return name, number


def pick(numbers: dict[str, int], names: Sequence[str], path: Path) -> np.ndarray:
    """int64 N: the number of each of `names`, of the rows of `path`."""
    refuse_difference(path, "has no row for", set(names) - set(numbers))
    return np.array([numbers[name] for name in names], np.int64)


def files_of(folder: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """Those of the files `names` that `folder` has."""
    return tuple(folder / name for name in names if (folder / name).is_file())


def names_on_disk(folder: Path, listed: list[str], attribute_file: str) -> tuple[str, ...]:
    """The file of each listed image, with any suffix: CelebA's PNG edition is listed as jpg."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; the images of {attribute_file} belong there")
    present = set(os.listdir(folder))
    by_stem = {os.path.splitext(name)[0]: name for name in sorted(present)}
    names = [
        name if name in present else by_stem.get(os.path.splitext(name)[0], "") for name in listed
    ]
    missing = [name for name, found in zip(listed, names, strict=True) if not found]
    if missing:
        raise UserError(
            f"{folder}: {len(missing)} of {len(listed)} listed images missing, first {missing[0]}"
        )
    for file, count in Counter(names).most_common(1):
        if count > 1:
            raise UserError(f"{folder / file}: {attribute_file} lists this image {count} times")
    return tuple(names)


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without the empty ones at its end, whatever the line ends."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot read this text file ({error})") from error
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def refuse_duplicates(names: Sequence[str], path: Path, what: str) -> None:
    for name, count in Counter(names).most_common(1):
        if count > 1:
            raise UserError(f"{path}: {what} {name} is listed {count} times")


def refuse_difference(path: Path, problem: str, names: set[str]) -> None:
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise UserError(f"{path}: {problem} {min(names)}{more}")
