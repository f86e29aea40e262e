"""The pictures of the page: tables of images cut out of a run's sheets, and close-ups.

The page has a size limit: a sheet that does not fit is named with its file.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diffae.system.errors import UserError
from reports.page.close_ups import close_ups
from reports.page.sheets import ReadSheet, read_sheet
from reports.page.stored import LARGEST, LOSSLESS, ImageView, PageImages, shown
from reports.records.reading import joined
from reports.tables.build import Merged

PICTURES = "pictures"
# Characters of all images that are at most LOSSLESS pixels wide, and of all that are larger.
MOST_SMALL, MOST_LARGE = 1_700_000, 3_500_000
NO_ROOM = "left out for the size of the page"


@dataclass(frozen=True)
class FigureView:
    """A sheet, and its `images` by row, as `stored.shown` makes them. A figure `at_full_size` is not
    shrunk to the width of the page.
    """

    id: str
    sheet: ReadSheet
    images: list[list[ImageView]]
    remark: str = ""
    at_full_size: bool = False

    @property
    def benchmark(self) -> str:
        return str(self.sheet.about.get("benchmark", ""))

    @property
    def cells(self) -> list[ImageView]:
        return [image for row in self.images for image in row]

    @property
    def new_size(self) -> int:
        """How many characters the images add to those that were placed on the page before."""
        new = {i.stored.key: i.stored.src for i in self.cells if not i.stored.is_placed}
        return sum(map(len, (*new.values(), *(i.whole_src for i in self.cells))))

    def place(self) -> int:
        """Place the images on the page, and return how many characters they add to it."""
        size = self.new_size
        for image in self.cells:
            image.stored.is_placed = True
        return size


def pictures_of(merged: Merged) -> tuple[list[FigureView], list[str]]:
    """The sheets of all folders in reading order, after the close-ups; as many as the size limit
    allows, and a line for each file that is not shown.

    The first sheet of each system and benchmark comes before any second one.
    """
    sheets, left_out = _sheets(merged)
    store, kept = PageImages(), dict[int, FigureView]()
    room = {False: MOST_SMALL, True: MOST_LARGE}
    if cut := close_ups([sheet for sheet, _ in sheets], store):
        kept[-1] = FigureView("close-ups", *cut, at_full_size=True)
        room[_is_large(cut[0])] -= kept[-1].place()
    for i in _by_turns([sheet for sheet, _ in sheets]):
        sheet, name = sheets[i]
        figure = _figure(f"f{i}", sheet, store)
        if figure.new_size <= room[_is_large(sheet)]:
            room[_is_large(sheet)] -= figure.place()
            kept[i] = figure
        else:
            left_out.append(f"{name} ({sheet.title}): {NO_ROOM}")
    return [kept[i] for i in sorted(kept)], left_out


def _is_large(sheet: ReadSheet) -> bool:
    return sheet.cells["width"] > LOSSLESS


def _by_turns(sheets: Sequence[ReadSheet]) -> list[int]:
    """The places of sheets: the first of each system and benchmark, then the second ones, and so on."""
    counts = Counter[tuple[str, str]]()
    turns = []
    for sheet in sheets:
        key = (str(sheet.about.get("benchmark")), str(sheet.about.get("system")))
        turns.append(counts[key])
        counts[key] += 1
    return sorted(range(len(sheets)), key=turns.__getitem__)


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


def _figure(id: str, sheet: ReadSheet, store: PageImages) -> FigureView:
    rows = [
        [_image(sheet, row, column, store) for column in range(length)]
        for row, length in enumerate(sheet.lengths)
    ]
    width = max(sheet.cells["width"], sheet.cells["height"])
    remark = f"shrunk from {width} to {LARGEST} px" if width > LARGEST else ""
    return FigureView(id, sheet, rows, remark)


def _image(sheet: ReadSheet, row: int, column: int, store: PageImages) -> ImageView:
    image = sheet.cell(row, column)
    head = sheet.rows[row] if sheet.rows else f"row {row + 1}"
    top = sheet.columns[column] if sheet.columns else f"image {column + 1}"
    note = sheet.note(row, column)
    return shown(store.add(image), image, joined(head, top, note), note)
