"""The picture sheets of a run, read back into their images."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from diffae.system.errors import UserError
from diffae.system.files import read_file
from reports.records.reading import Fields

CHUNK = "sheet"
LARGEST = 2**26  # bytes of a PNG


@dataclass(frozen=True)
class ReadSheet:
    """A sheet: its text, and its images, `lengths` of them in each row.

    `rows`, `columns` and `notes` may be empty; `about` says what made it (benchmark, system,
    setting, steps).
    """

    title: str
    caption: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    lengths: tuple[int, ...]
    notes: tuple[tuple[str, ...], ...]
    about: Fields
    cells: Mapping[str, int]
    picture: Image.Image

    def cell(self, row: int, column: int) -> Image.Image:
        """One image at its original size, not enlarged."""
        place, scale = self.cells, self.cells["scale"]
        left = place["left"] + column * place["step_x"]
        top = place["top"] + row * place["step_y"]
        width, height = place["width"], place["height"]
        whole = self.picture.crop((left, top, left + width * scale, top + height * scale))
        return whole.resize((width, height), Image.Resampling.NEAREST)

    def note(self, row: int, column: int) -> str:
        return self.notes[row][column] if self.notes else ""


def read_sheet(path: Path) -> ReadSheet:
    """Read a sheet. Raises UserError naming the file if it is not a sheet, or damaged."""
    try:
        with Image.open(io.BytesIO(read_file(path, LARGEST)), formats=["PNG"]) as file:
            picture = file.convert("RGB")  # reads the file to its end, text chunks included
            content = json.loads(file.text[CHUNK])  # type: ignore[attr-defined]
        return _sheet(content, picture)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: not a sheet of pictures of a run, or damaged") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: too large for a sheet of pictures") from None


def _sheet(content: Fields, picture: Image.Image) -> ReadSheet:
    """Make a sheet from a picture and its description.

    Raises ValueError, KeyError or TypeError if the two do not match.
    """
    cells = {name: int(value) for name, value in content["cells"].items()}
    lengths = tuple(int(n) for n in content["lengths"])
    right = cells["left"] + (max(lengths) - 1) * cells["step_x"] + cells["width"] * cells["scale"]
    bottom = cells["top"] + (len(lengths) - 1) * cells["step_y"] + cells["height"] * cells["scale"]
    if min(cells.values()) < 0 or 0 in (cells["scale"], cells["width"], cells["height"]):
        raise ValueError("places are not numbers from 0 up")
    if right > picture.width or bottom > picture.height:
        raise ValueError("images lie outside")
    title, caption = str(content["title"]), str(content["caption"])
    rows, columns = tuple(map(str, content["rows"])), tuple(map(str, content["columns"]))
    notes = tuple(tuple(map(str, row)) for row in content["notes"])
    about = dict(content["about"])
    return ReadSheet(title, caption, rows, columns, lengths, notes, about, cells, picture)
