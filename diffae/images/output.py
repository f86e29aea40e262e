"""The folder of a command: pictures with their marks and a contact sheet, whole or not at all."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from diffae import sheet
from diffae.images import marks
from diffae.images.verbs import to_pil
from diffae.system.files import Json

SHEET = "sheet.png"
SHEET_ROWS = 24  # of the contact sheet; further pictures are in the folder


@dataclass(frozen=True)
class Picture:
    """A picture of a row, 3 x S x S in [-1, 1].

    `file` is its name in the folder, empty if it is only on the sheet.
    """

    image: Tensor
    file: str = ""
    settings: marks.Settings = field(default_factory=dict)
    note: str = ""


@dataclass
class Output:
    """The folder that a command makes.

    All its pictures share `settings`, and are `edited` from pictures or drawn from noise.
    """

    folder: Path
    settings: dict[str, Json]
    edited: bool
    rows: list[tuple[str, Sequence[Picture]]] = field(default_factory=list)
    count: int = 0  # of rows

    def add(self, cells: Sequence[Picture], label: str = "") -> None:
        """Write the pictures of a row that have a name, and add the row to the sheet."""
        for cell in cells:
            if cell.file:
                path, (image,) = self.new_file(cell.file), to_pil(cell.image[None])
                marks.save(path, image, {**self.settings, **cell.settings}, self.edited)
        self.count += 1
        if len(self.rows) < SHEET_ROWS:
            self.rows.append((label, cells))

    def new_file(self, name: str) -> Path:
        """The path of a new file, with a number added if its name is taken."""
        (stem, suffix), number = os.path.splitext(name), 2
        while name.casefold() == SHEET or (self.folder / name).exists():
            name, number = f"{stem}-{number}{suffix}", number + 1
        return self.folder / name

    def finish(self, title: str, caption: str, columns: Sequence[str] = ()) -> None:
        """Write the contact sheet."""
        labels = [label for label, _ in self.rows]
        notes = [[cell.note for cell in cells] for _, cells in self.rows]
        images = [torch.stack([cell.image for cell in cells]) for _, cells in self.rows]
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
        sheet.write(self.folder / SHEET, page, marks.texts(self.settings, self.edited))
