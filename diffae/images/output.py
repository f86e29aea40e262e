"""The folder of a command: pictures with their marks and a contact sheet, whole or not at all."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffae import sheet
from diffae.images import marks
from diffae.images.reading import to_tensor
from diffae.system.whole import write_whole

SHEET = "sheet.png"
SAMPLES_A_ROW = 8
SHEET_ROWS = 24  # of the contact sheet; further pictures are in the folder


@dataclass(frozen=True)
class Cell:
    """A picture of a row: `file` is its name in the folder, empty for one that is only on the sheet."""

    image: Image.Image
    file: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass
class Output:
    """A folder that is being made.

    `settings` are those that all its pictures share, `kind` their source type. In a file each pixel
    is enlarged to `enlarge` pixels a side.
    """

    folder: Path
    settings: dict[str, Any]
    kind: str = marks.EDITED
    enlarge: int = 1
    rows: list[tuple[str, Sequence[Cell]]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    taken: set[str] = field(default_factory=lambda: {SHEET.casefold()})

    def add(self, cells: Sequence[Cell], label: str = "") -> None:
        """Add a row to the sheet: results for one picture, or some samples.

        Pictures that have a name are written.
        """
        self.count += 1
        for cell in cells:
            if cell.file:
                self.add_png(cell.file, cell.image, cell.settings)
        if len(self.rows) < SHEET_ROWS:
            self.rows.append((label, cells))

    def add_in_rows(self, cells: Iterable[Cell]) -> None:
        """Add samples in rows; the note of each has the number of its file."""
        coming = iter(cells)
        while row := list(islice(coming, SAMPLES_A_ROW)):
            self.add(row)

    def add_png(self, name: str, image: Image.Image, settings: Mapping[str, Any]) -> None:
        """Write a picture that is not on the sheet."""
        large = enlarged(image, self.enlarge)
        self.add_file(name, marks.png(large, {**self.settings, **settings}, self.kind), settings)

    def add_file(self, name: str, data: bytes, settings: Mapping[str, Any] | None = None) -> None:
        """Write a file under its name, with a number added if the name is taken.

        Some file systems ignore case, so names that differ in it alone are the same.
        """
        (stem, suffix), number = os.path.splitext(name), 2
        while name.casefold() in self.taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        self.taken.add(name.casefold())
        write_whole(self.folder / name, data)
        self.files.append({"file": name, **(settings or {})})

    def finish(self, title: str, caption: str, columns: Sequence[str] = ()) -> None:
        """Write the contact sheet."""
        more = self.count - len(self.rows)
        labels = [label for label, _ in self.rows]
        notes = [[cell.note for cell in cells] for _, cells in self.rows]
        images = [to_tensor([np.asarray(c.image) for c in cells]) for _, cells in self.rows]
        caption += f" {more} more rows are not shown." if more else ""
        rows, notes = labels if any(labels) else [], notes if any(map(any, notes)) else []
        page = sheet.Sheet(title, images, rows, columns, caption, notes, self.settings)
        sheet.write(self.folder / SHEET, page, marks.texts(self.settings, self.kind))


def enlarged(image: Image.Image, by: int) -> Image.Image:
    """Enlarge each pixel to a square of `by` pixels a side."""
    size = image.width * by, image.height * by
    return image if by == 1 else image.resize(size, Image.Resampling.NEAREST)
