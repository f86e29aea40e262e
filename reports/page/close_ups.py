"""Close-ups of reconstructions: of each system the worst image and a middle one, at full size.

A large image is cut where its error is largest. Nothing is lost: what is shown is the output of the
system, not of the page's compression.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from PIL import Image

from reports.page.sheets import ReadSheet
from reports.page.stored import ImageView, PageImages, data_url, shown

PLAIN, WORST = ": reconstruction", ": the worst reconstructions"  # the ends of titles of sheets
CROP = 128  # pixels: side of a part
TIMES = 5  # of the error
PARTS = ("input", "output", f"error × {TIMES}")
COLUMNS = tuple(f"{which}: {part}" for which in ("worst", "middle") for part in PARTS)
CAPTION = (
    "Worst: the image of the lowest SSIM. Middle: of the first images, the one of the middle MSE."
)
CUT = f"Each is cut to the {CROP} px with the largest error, and a click shows it whole."

Images = list[ImageView]


def close_ups(
    sheets: Iterable[ReadSheet], store: PageImages
) -> tuple[ReadSheet, list[Images]] | None:
    """A sheet of close-ups, whose rows are systems, and its images; None without reconstructions."""
    pairs = [sheet for sheet in sheets if len(sheet.lengths) > 1 and min(sheet.lengths[:2])]
    plain = {s.title.removesuffix(PLAIN): s for s in pairs if s.title.endswith(PLAIN)}
    worst = {s.title.removesuffix(WORST): s for s in pairs if s.title.endswith(WORST)}
    systems = [name for name in plain if name in worst]
    if not systems:
        return None
    rows = []
    for name in systems:
        column = _middle(plain[name])
        rows.append(
            [
                *_triple(worst[name], 0, f"{name}, the worst", store),
                *_triple(plain[name], column, f"{name}, a middle one", store),
            ]
        )
    is_cut = max(*plain[systems[0]].cell(0, 0).size) > CROP
    caption = f"{CAPTION} {CUT}" if is_cut else CAPTION
    sheet = replace(
        plain[systems[0]],
        title="Where reconstructions fail",
        caption=caption,
        rows=tuple(systems),
        columns=COLUMNS,
        lengths=(len(COLUMNS),) * len(rows),
        notes=(),
    )
    return sheet, rows


def _middle(sheet: ReadSheet) -> int:
    """The column of the middle error."""
    errors = [_mse(*_pair(sheet, column)) for column in range(min(sheet.lengths[:2]))]
    return int(np.argsort(errors, kind="stable")[len(errors) // 2])


def _pair(sheet: ReadSheet, column: int) -> tuple[Image.Image, Image.Image]:
    """An input and its reconstruction."""
    return sheet.cell(0, column), sheet.cell(1, column)


def _mse(image: Image.Image, output: Image.Image) -> float:
    return float(np.square(_difference(image, output) / 255).mean())


def _difference(image: Image.Image, output: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(image, np.float64) - np.asarray(output, np.float64))


def _triple(sheet: ReadSheet, column: int, named: str, store: PageImages) -> Images:
    """Parts of an input, of its reconstruction, and of the error, with their wholes."""
    image, output = _pair(sheet, column)
    difference = _difference(image, output)
    error = Image.fromarray(np.clip(TIMES * difference, 0, 255).astype(np.uint8))
    box = window(np.square(difference).sum(-1))
    note = sheet.note(1, column) or f"MSE {_mse(image, output):.2g}"
    views = []
    for whole, part in zip((image, output, error), PARTS, strict=True):
        cut, under = whole.crop(box), note if whole is output else ""
        view = shown(store.add(cut, exact=True), cut, f"{named}: {part}", under)
        if whole.size != cut.size:
            view.whole = store.add(whole).key
            view.whole_src = data_url(whole, exact=False) if whole is error else ""
        views.append(view)
    return views


def window(errors: np.ndarray) -> tuple[int, int, int, int]:
    """The box of `CROP` pixels with the largest sum of `errors` [height, width]; all of a smaller image."""
    height, width = (min(CROP, side) for side in errors.shape)
    sums = np.pad(errors.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[height:, width:] - sums[:-height, width:]
    boxes = boxes - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(boxes.argmax(), boxes.shape)
    return int(left), int(top), int(left) + width, int(top) + height
