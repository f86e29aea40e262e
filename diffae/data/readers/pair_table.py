"""Counterfactuals of a folder of images in a table beside them: pairs.csv.

    before,after,attribute,on,person
    a.png,edited/a-hat.png,Wearing_Hat,1,ada
    b.png,edited/b-bare.png,Wearing_Hat,0,bob

`after` is `before` with the attribute added (`on` is 1) or removed (0). `person` may be left out.
"""

import os
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from diffae.data.dataset import ImageSource
from diffae.data.names import Names
from diffae.data.readers.classes import Classes
from diffae.data.readers.label_files import read_rows, refuse_duplicates
from diffae.data.transforms import DECODING_ERRORS, FORMATS, decode
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError

FILE, COLUMNS, PERSON = "pairs.csv", ("before", "after", "attribute", "on"), "person"


@dataclass(frozen=True)
class PairTable:
    """`diffae.data.dataset.Truth` of images and their counterfactuals, both in `source`.

    `known` has, by image, attribute and state, the place of the counterfactual and its changes.
    """

    source: ImageSource
    known: Mapping[tuple[int, str, bool], tuple[int, dict[str, bool]]]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Those of the rows, in their order."""
        return tuple(dict.fromkeys(attribute for _, attribute, _ in self.known))

    def changes(self, index: int, attribute: str, on: bool) -> dict[str, bool] | None:
        """The attribute, and others by the labels of both images."""
        found = self.known.get((index, attribute, on))
        return None if found is None else found[1]

    def picture(self, index: int, attribute: str, on: bool) -> Image.Image:
        """The image of the row."""
        return self.source.read(self.known[index, attribute, on][0])


@dataclass(frozen=True)
class Row:
    """A pair: two images by relative path, and the place of the row for messages."""

    before: str
    after: str
    attribute: str
    on: bool
    person: str
    where: str


@dataclass(frozen=True)
class Listed:
    """The rows of pairs.csv, and that file; none without one."""

    files: tuple[Path, ...] = ()
    rows: tuple[Row, ...] = ()

    @cached_property
    def only_after(self) -> tuple[str, ...]:
        """Images that are nothing but counterfactuals, sorted."""
        return tuple(sorted({row.after for row in self.rows} - {row.before for row in self.rows}))

    def without_counterfactuals(self, labelled: Classes) -> Classes:
        """The images and labels of the data set, with the persons of the pairs if no others are known."""
        if not self.rows:
            return labelled
        extra = {*self.only_after}
        kept = [k for k, name in enumerate(labelled.images) if name not in extra]
        images = tuple(labelled.images[k] for k in kept)
        splits = tuple(labelled.splits[k] for k in kept) if labelled.splits else ()
        own = labelled.fields.items()
        fields = {k: v[kept] if isinstance(v, np.ndarray) else v for k, v in own}
        if "identities" not in fields:
            fields |= self._people(images)
        elif any(row.person for row in self.rows):
            both = f"{PERSON} is in {labelled.files[0].name} too; drop it"
            raise UserError(f"{self.files[0]}: {both}")
        told = [f"images that are only `after` in {FILE}: {len(extra):,}"] * bool(extra)
        left_out = (*labelled.left_out, *told)
        return labelled._replace(images=images, fields=fields, splits=splits, left_out=left_out)

    def _people(self, images: tuple[str, ...]) -> dict[str, np.ndarray]:
        """The identities of images: those of a pair are one person, and those of one `person`.

        Empty if no two images are of one.
        """
        from scipy.cluster.hierarchy import DisjointSet

        linked = DisjointSet(images)
        for row in self.rows:
            for one in (row.before, row.after, *[(PERSON, row.person)] * bool(row.person)):
                linked.add(one)
                linked.merge(row.before, one)
        number: dict[object, int] = {}
        people = [number.setdefault(linked[name], len(number)) for name in images]
        return {"identities": np.array(people, np.int64)} if len(number) < len(images) else {}

    def truth(
        self, source: ImageSource, names: Sequence[str], labelled: Classes
    ) -> PairTable | None:
        """The counterfactuals of images, whose names are those of `source`; None without any.

        Raises UserError for a pair that is listed twice, contradicts the labels, or has two sizes.
        """
        if not self.rows:
            return None
        place = {name: k for k, name in enumerate(names)}
        attributes = labelled.fields.get("attribute_names", ())
        states = _states(labelled, {name for row in self.rows for name in (row.before, row.after)})
        known = dict[tuple[int, str, bool], tuple[int, dict[str, bool]]]()
        for row in self.rows:
            for name in (row.before, row.after):
                if name not in place:
                    why = f"{name} is left out, as no row of the labels has it"
                    raise UserError(f"{row.where}: {why}")
            before, after = place[row.before], place[row.after]
            if (key := (before, row.attribute, row.on)) in known:
                what = f"{row.attribute} {'on' if row.on else 'off'}"
                raise UserError(f"{row.where}: a second counterfactual of {row.before}, {what}")
            _refuse_sizes(row, *(Path(source.where(k)) for k in (before, after)))
            known[key] = after, _changes(row, attributes, states)
        return PairTable(source, known)


def read_pairs(root: Path, images: tuple[str, ...]) -> Listed:
    """The pairs of images, by relative path, in pairs.csv. Raises UserError for a row that is none.

    A file of this name that lists other things, such as LFW's, is not read.
    """
    path = root / FILE
    if not os.path.lexists(path):
        return Listed()
    (header, *lines), names, found = read_rows(path) or [[]], Names(images), list[Row]()
    if not {*COLUMNS} & {*header} and not any(names.places(value) for value in header):
        return Listed()
    refuse_duplicates(header, path, "column")
    for column in header:
        if column not in (*COLUMNS, PERSON):
            near = did_you_mean(column, (*COLUMNS, PERSON))
            raise UserError(f"{path}: line 1: unknown column {column!r:.40}{near}")
    if missing := [column for column in COLUMNS if column not in header]:
        raise UserError(f"{path}: line 1: the column {missing[0]} is missing")
    for line, values in enumerate(lines, 2):
        where = f"{path}: line {line}"
        if len(values) != len(header) or "" in values:
            raise UserError(f"{where}: must have {len(header)} values, none of them empty")
        cells = dict(zip(header, values, strict=True))
        before, after = (images[names.only(cells[k], where)] for k in ("before", "after"))
        attribute, on = cells["attribute"], cells["on"]
        if on not in ("0", "1"):
            raise UserError(f"{where}: on is {on!r:.40}; it must be 1 (added) or 0 (removed)")
        if before == after:
            raise UserError(f"{where}: {before} is its own counterfactual")
        if not attribute.isprintable():
            raise UserError(f"{where}: attribute {attribute!r} cannot be printed")
        found.append(Row(before, after, attribute, on == "1", cells.get(PERSON, ""), where))
    if not found:
        raise UserError(f"{path}: has no pairs; add a row for each, or remove the file")
    return Listed((path,), tuple(found))


def _states(labelled: Classes, wanted: Container[str]) -> dict[str, np.ndarray]:
    """The attributes of those images that are wanted and have labels, bool [A]."""
    attributes, classes = map(labelled.fields.get, ("attributes", "classes"))
    if attributes is None and classes is None:
        return {}
    number = np.arange(len(labelled.fields["attribute_names"]))
    places = ((name, k) for k, name in enumerate(labelled.images) if name in wanted)
    return {n: number == classes[k] if attributes is None else attributes[k] for n, k in places}


def _changes(row: Row, names: tuple[str, ...], states: Mapping[str, np.ndarray]) -> dict[str, bool]:
    """The attribute of a pair, and others in which the labels of both images differ.

    Raises UserError if the labels say that the attribute is otherwise.
    """
    before, after = states.get(row.before), states.get(row.after)
    for image, found, on in ((row.before, before, not row.on), (row.after, after, row.on)):
        if row.attribute in names and found is not None and found[names.index(row.attribute)] != on:
            has = "has no" if on else "has"
            raise UserError(f"{row.where}: by its labels {image} {has} {row.attribute}")
    if before is None or after is None:
        return {row.attribute: row.on}
    others = {names[k]: bool(after[k]) for k in np.flatnonzero(before != after)}
    return others | {row.attribute: row.on}


def _refuse_sizes(row: Row, before: Path, after: Path) -> None:
    """Raise UserError unless two images have one size."""
    if _size(before) == _size(after):
        return
    sizes = [decode(path).size for path in (before, after)]  # upright
    if sizes[0] != sizes[1]:
        (a, b), (c, d) = sizes
        raise UserError(f"{row.where}: {row.before} is {a} x {b}, but {row.after} is {c} x {d}")


def _size(path: Path) -> tuple[int, int]:
    """Width and height by the header of an image file. Raises UserError if it is damaged."""
    with suppress(*DECODING_ERRORS):
        if path.is_file():  # a pipe would block
            with Image.open(path, formats=FORMATS) as image:
                return image.size
    return decode(path).size
