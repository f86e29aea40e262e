"""The picture sheets of a run as tables of images, cut out at their own size and enlarged.

The page has a size limit: images that are larger than a cell are shrunk to it, further if there are
many sheets, and a sheet that does not fit is named with its file.
"""

import base64
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from diffae.system.errors import UserError
from diffae.system.files import read_file
from reports.records.reading import Fields, joined
from reports.tables.build import Merged

CHUNK = "sheet"
LARGEST = 2**26  # bytes of a PNG


@dataclass(frozen=True)
class ReadSheet:
    """A sheet: its text, and its images, `lengths` of them in each row.

    `rows`, `columns` and `notes` may be empty; `about` says what made it (benchmark, system,
    setting, steps), `strip` which rows stand for all, if any do.
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
    strip: tuple[int, ...] = ()

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
            told = json.loads(file.text[CHUNK])  # type: ignore[attr-defined]
        return _sheet(told, picture)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{path}: not a sheet of pictures of a run, or damaged") from None
    except Image.DecompressionBombError:
        raise UserError(f"{path}: too large for a sheet of pictures") from None


def _sheet(told: Fields, picture: Image.Image) -> ReadSheet:
    """Make a sheet from a picture and its description.

    Raises ValueError, KeyError or TypeError if the two do not match.
    """
    cells = {name: int(value) for name, value in told["cells"].items()}
    lengths = tuple(int(n) for n in told["lengths"])
    right = cells["left"] + (max(lengths) - 1) * cells["step_x"] + cells["width"] * cells["scale"]
    bottom = cells["top"] + (len(lengths) - 1) * cells["step_y"] + cells["height"] * cells["scale"]
    if min(cells.values()) < 0 or 0 in (cells["scale"], cells["width"], cells["height"]):
        raise ValueError("places are not numbers from 0 up")
    if right > picture.width or bottom > picture.height:
        raise ValueError("images lie outside")
    title, caption = str(told["title"]), str(told["caption"])
    rows, columns = tuple(map(str, told["rows"])), tuple(map(str, told["columns"]))
    notes = tuple(tuple(map(str, row)) for row in told["notes"])
    about, strip = dict(told["about"]), tuple(map(int, told.get("strip", ())))
    if not {*strip} <= {*range(len(lengths))}:
        raise ValueError("no such rows")
    return ReadSheet(title, caption, rows, columns, lengths, notes, about, cells, picture, strip)


# ----------------------------------------------------------------------------------------------
# The sheets as a table of images on the page

PICTURES = "pictures"
SHOWN = 96  # pixels: approximate displayed width of a small image
SIDES = (192, 128, 64)  # pixels that larger images are shrunk to, the first at which they all fit
LOSSLESS = 64  # pixels: larger images are stored as JPEG if that takes less than half
QUALITY = 88
MOST_BYTES = 8_000_000  # of all images, as text
OPEN = 4  # sheets of a benchmark that are not folded


@dataclass(frozen=True)
class FigureView:
    """A sheet, and its `images` by row: of each its data, its description, a
    note under it, and its displayed size.
    """

    id: str
    sheet: ReadSheet
    images: list[list[dict[str, Any]]]
    remark: str
    open: bool = False

    @property
    def benchmark(self) -> str:
        return str(self.sheet.about.get("benchmark", ""))

    @property
    def size(self) -> int:
        return sum(len(image["src"]) for row in self.images for image in row)


def pictures_of(merged: Merged) -> tuple[list[FigureView], list[str]]:
    """The sheets of all folders in reading order, as large as the size limit allows, and a line for
    each file that is not shown.
    """
    sheets, left_out = _sheets(merged)
    largest = max((sheet.cells["width"] for sheet, _ in sheets), default=0)
    for side in (SIDES[0], *(side for side in SIDES[1:] if side < largest)):
        figures = [_figure(f"f{i}", sheet, side) for i, (sheet, _) in enumerate(sheets)]
        if sum(figure.size for figure in figures) <= MOST_BYTES:
            break
    kept: list[FigureView] = []
    room, counts = MOST_BYTES, Counter[str]()
    for figure, (_, name) in zip(figures, sheets, strict=True):
        if figure.size <= room:
            room -= figure.size
            counts[figure.benchmark] += 1
            kept.append(replace(figure, open=counts[figure.benchmark] <= OPEN))
        else:
            left_out.append(f"{name} ({figure.sheet.title}): no room on a page of 10 MB")
    return kept, left_out


def strip_of(figures: Sequence[FigureView], whole: bool) -> dict[str, Any] | None:
    """A few rows beside a verdict, and their caption: of the first of `figures` those that stand for
    all, else the first and the last, or all if it is shown `whole`.

    Rows without a head are independent images, and one of them is enough.
    """
    if not figures:
        return None
    figure, heads = figures[0], figures[0].sheet.rows
    places = list(range(len(figure.images)))
    if figure.sheet.strip:
        places = list(figure.sheet.strip)
    elif not heads:
        places = places[:1]
    elif not whole:
        places = sorted({places[0], places[-1]})
    told = [heads[place] for place in places if heads]
    caption = figure.sheet.title + (f"; from top to bottom: {', '.join(told)}" if told else "")
    return {"rows": [figure.images[place] for place in places], "caption": caption}


def _sheets(merged: Merged) -> tuple[list[tuple[ReadSheet, str]], list[str]]:
    """The sheets of all runs with the names of their files: by system, in the order of the tables, a
    system's worst reconstructions after its others. And a line for each picture that is not a sheet.
    """
    sheets, refused = [], []
    for run in merged.folders:
        prefix = f"{run.label}: " if len(merged.folders) > 1 else ""
        for path in sorted(run.folder.glob(f"{PICTURES}/*.png")):
            name = f"{prefix}{PICTURES}/{path.name}"
            try:
                sheet = read_sheet(path)
                sheets.append((replace(sheet, title=prefix + sheet.title), name))
            except UserError:
                refused.append(f"{name}: no labelled sheet")
    places = {name: i for i, name in enumerate(dict.fromkeys(r.system for r in merged.records))}

    def place(named: tuple[ReadSheet, str]) -> tuple[int, bool, str]:
        sheet, name = named
        return places.get(str(sheet.about.get("system")), len(places)), "worst" in name, name

    return sorted(sheets, key=place), refused


def _figure(id: str, sheet: ReadSheet, side: int) -> FigureView:
    rows = [
        [_image(sheet, row, column, side) for column in range(length)]
        for row, length in enumerate(sheet.lengths)
    ]
    width, remarks = sheet.cells["width"], []
    if width > max(side, LOSSLESS):
        remarks.append(f"shrunk from {width} to {side} px")
    if any(image["src"].startswith("data:image/jpeg") for row in rows for image in row):
        remarks.append("kept as JPEG here")
    return FigureView(id, sheet, rows, ", ".join(remarks))


def _stored(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=QUALITY)  # which PNG ignores
    return buffer.getvalue()


def _image(sheet: ReadSheet, row: int, column: int, side: int) -> dict[str, Any]:
    image, scale = sheet.cell(row, column), sheet.cells["scale"]
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        scale = max(1, round(SHOWN / image.width))
    head = sheet.rows[row] if sheet.rows else f"row {row + 1}"
    top = sheet.columns[column] if sheet.columns else f"image {column + 1}"
    note = sheet.note(row, column)
    stored = {kind: _stored(image, kind) for kind in ("png", "jpeg")}
    large = max(image.size) > LOSSLESS and 2 * len(stored["jpeg"]) < len(stored["png"])
    kind = "jpeg" if large else "png"
    src = f"data:image/{kind};base64,{base64.b64encode(stored[kind]).decode()}"
    size = {"width": image.width * scale, "height": image.height * scale}
    return {"src": src, "alt": joined(head, top, note), "note": note, **size}
