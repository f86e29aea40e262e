"""The picture sheets of a run as tables of images, cut out at their own size and enlarged.

The page has a size limit: images that are larger than a cell are shrunk to it, further if there are
many sheets, and a sheet that does not fit is named with its file.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image

from diffae.system.errors import UserError
from reports.page.reading import Found
from reports.records.run_folder import Run
from reports.records.sheets import ReadSheet, read_sheet

PICTURES = "pictures"
SHOWN = 96  # pixels: approximate displayed width of a small image
SIDES = (192, 128, 64)  # pixels that larger images are shrunk to, the first at which they all fit
LOSSLESS = 64  # pixels: larger images are stored as JPEG
QUALITY = 88
MOST_BYTES = 8_000_000  # of all images, as text
MOST_CELLS, MOST_SHEETS = 512, 400
OPEN = 4  # sheets of a benchmark that are not folded

_Named = tuple[ReadSheet, str, str]  # a sheet, the run's name before its title, and its file


@dataclass(frozen=True)
class ImageView:
    """An image of the page: its data, its description, a note under it, and its displayed size."""

    src: str
    alt: str
    note: str
    width: int
    height: int


@dataclass(frozen=True)
class FigureView:
    """A sheet: `rows` of images with `heads` of rows and `columns`, each empty if there are none."""

    id: str
    benchmark: str
    title: str
    caption: str
    columns: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[ImageView, ...], ...]
    count: int
    remark: str
    open: bool = False

    @property
    def size(self) -> int:
        return sum(len(image.src) for row in self.rows for image in row)


@dataclass(frozen=True)
class Strip:
    """A few rows of a sheet that are shown beside a verdict, and their description."""

    rows: tuple[tuple[ImageView, ...], ...]
    caption: str


def pictures_of(found: Found) -> tuple[list[FigureView], list[str]]:
    """The sheets of all folders in reading order, as large as the size limit allows, and a line for
    each file that is not shown.
    """
    sheets, refused = _sheets(found.folders)
    sheets = _ordered(sheets, found)
    largest = max((sheet.cells["width"] for sheet, _, _ in sheets), default=0)
    for side in (SIDES[0], *(side for side in SIDES[1:] if side < largest)):
        figures = [
            _figure(f"f{i}", sheet, prefix, side) for i, (sheet, prefix, _) in enumerate(sheets)
        ]
        if sum(figure.size for figure in figures) <= MOST_BYTES:
            break
    kept, dropped = _within(figures, [name for _, _, name in sheets])
    return list(_opened(kept)), [*refused, *dropped]


def strip_of(figures: Sequence[FigureView], whole: bool) -> Strip | None:
    """An excerpt of the first of `figures`: its first and last row, or all of them if it is shown
    `whole`.

    Rows without a head are independent images, and one of them is enough.
    """
    if not figures:
        return None
    figure = figures[0]
    places = list(range(len(figure.rows)))
    if not figure.heads:
        places = places[:1]
    elif not whole:
        places = sorted({places[0], places[-1]})
    heads = [figure.heads[place] for place in places if figure.heads]
    caption = figure.title + (f"; from top to bottom: {', '.join(heads)}" if heads else "")
    return Strip(tuple(figure.rows[place] for place in places), caption)


def _sheets(folders: Sequence[Run]) -> tuple[list[_Named], list[str]]:
    """The sheets of all runs, by name; and a line for each picture that is not a sheet."""
    sheets, refused = [], []
    for folder in folders:
        prefix = f"{folder.label}: " if len(folders) > 1 else ""
        for path in sorted(folder.folder.glob(f"{PICTURES}/*.png")):
            name = f"{prefix}{PICTURES}/{path.name}"
            try:
                sheets.append((read_sheet(path), prefix, name))
            except UserError:
                refused.append(f"{name}: no labelled sheet")
    more = len(sheets) - MOST_SHEETS
    if more > 0:
        refused.append(f"{more} sheets after the first {MOST_SHEETS}")
    return sheets[:MOST_SHEETS], refused


def _ordered(sheets: Iterable[_Named], found: Found) -> list[_Named]:
    """Sheets by system, in the order of the tables; a system's worst reconstructions after its others."""
    systems = list(dict.fromkeys(record.system for record in found.records))

    def place(named: _Named) -> tuple[int, bool, str]:
        sheet, _, name = named
        system = str(sheet.about.get("system", ""))
        at = systems.index(system) if system in systems else len(systems)
        return at, "worst" in name, name

    return sorted(sheets, key=place)


def _within(
    figures: Sequence[FigureView], names: Sequence[str]
) -> tuple[list[FigureView], list[str]]:
    """The first of `figures` that fit within the size limit, and a line for each of the others."""
    kept, dropped, room = [], [], MOST_BYTES
    for figure, name in zip(figures, names, strict=True):
        if figure.size <= room:
            kept.append(figure)
            room -= figure.size
        else:
            dropped.append(f"{name} ({figure.title}): no room on a page of 10 MB")
    return kept, dropped


def _opened(figures: Iterable[FigureView]) -> Iterator[FigureView]:
    counts: dict[str, int] = {}
    for figure in figures:
        counts[figure.benchmark] = counts.get(figure.benchmark, 0) + 1
        yield replace(figure, open=counts[figure.benchmark] <= OPEN)


def _figure(id: str, sheet: ReadSheet, prefix: str, side: int) -> FigureView:
    rows, cells = [], 0
    for row, length in enumerate(sheet.lengths):
        if cells + length > MOST_CELLS:
            break
        rows.append(tuple(_image(sheet, row, column, side) for column in range(length)))
        cells += length
    remarks = _remarks(sheet, side)
    if len(rows) < len(sheet.lengths):
        remarks.append(f"the first {len(rows)} of {len(sheet.lengths)} rows")
    return FigureView(
        id,
        str(sheet.about.get("benchmark", "")),
        prefix + sheet.title,
        sheet.caption,
        sheet.columns,
        sheet.rows,
        tuple(rows),
        cells,
        "; ".join(remarks),
    )


def _remarks(sheet: ReadSheet, side: int) -> list[str]:
    width = sheet.cells["width"]
    if width <= LOSSLESS:
        return []
    shrunk = f"shrunk from {width} to {side} px, " if width > side else ""
    return [f"{shrunk}kept as JPEG here"] if min(width, side) > LOSSLESS else [shrunk.rstrip(", ")]


def _image(sheet: ReadSheet, row: int, column: int, side: int) -> ImageView:
    image = sheet.cell(row, column)
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    scale = max(1, round(SHOWN / image.width))
    head = sheet.rows[row] if sheet.rows else f"row {row + 1}"
    top = sheet.columns[column] if sheet.columns else f"image {column + 1}"
    note = sheet.note(row, column)
    alt = ", ".join(part for part in (head, top, note) if part)
    return ImageView(_source(image), alt, note, image.width * scale, image.height * scale)


def _source(image: Image.Image) -> str:
    """An image as a data URL."""
    buffer = io.BytesIO()
    if max(image.size) <= LOSSLESS:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=QUALITY)
    kind = "png" if max(image.size) <= LOSSLESS else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
