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

    `settings` are those that all its pictures share, `kind` their source type.
    """

    folder: Path
    settings: dict[str, Any]
    kind: str = marks.EDITED
    rows: list[tuple[str, Sequence[Cell]]] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0  # of rows
    taken: set[str] = field(default_factory=lambda: {SHEET.casefold()})

    def add(self, cells: Sequence[Cell], label: str = "") -> None:
        """Write the pictures of a row that have a name, and add the row to the sheet."""
        for cell in cells:
            if cell.file:
                self.add_png(cell.file, cell.image, cell.settings)
        self.count += 1
        if len(self.rows) < SHEET_ROWS:
            self.rows.append((label, cells))

    def add_in_rows(self, cells: Iterable[Cell]) -> None:
        """Add samples in rows; the note of each has the number of its file."""
        remaining = iter(cells)
        while row := list(islice(remaining, SAMPLES_A_ROW)):
            self.add(row)

    def add_png(self, name: str, image: Image.Image, settings: Mapping[str, Any]) -> None:
        """Write a picture that is not on the sheet."""
        data = marks.png(image, {**self.settings, **settings}, self.kind)
        self.add_file(name, data, settings)

    def add_file(self, name: str, data: bytes, settings: Mapping[str, Any]) -> None:
        """Write a file under its name, with a number added if the name is taken.

        Some file systems ignore case, so names that differ in it alone are the same.
        """
        (stem, suffix), number = os.path.splitext(name), 2
        while name.casefold() in self.taken:
            name, number = f"{stem}-{number}{suffix}", number + 1
        self.taken.add(name.casefold())
        write_whole(self.folder / name, data)
        self.files.append({"file": name, **settings})

    def finish(self, title: str, caption: str, columns: Sequence[str] = ()) -> None:
        """Write the contact sheet."""
        labels = [label for label, _ in self.rows]
        notes = [[cell.note for cell in cells] for _, cells in self.rows]
        images = [to_tensor([np.asarray(cell.image) for cell in cells]) for _, cells in self.rows]
        if self.count > len(self.rows):
            caption += f" {self.count - len(self.rows)} more rows are not shown."
        page = sheet.Sheet(
            title,
            images,
            rows=labels if any(labels) else [],
            columns=columns,
            caption=caption,
            notes=notes if any(notes[0]) else [],
            about=self.settings,
        )
        sheet.write(self.folder / SHEET, page, marks.texts(self.settings, self.kind))
