"""Sheets of pictures: a grid of images with a caption for each row and column, as one PNG.

Small images are enlarged by a whole factor, so that their pixels stay exact. The description of the
sheet is also in its text chunk `sheet`, as JSON, with the positions of the images:
`reports.page.sheets.read_sheet` cuts them out again.
"""

import io
import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from diffae.eight_bit import to_uint8
from diffae.system.files import Json
from diffae.system.whole import write_whole

CHUNK = "sheet"  # the name of the PNG's text chunk
SHOWN = 96  # pixels: the default width of a drawn image, about
GAP, MARGIN = 4, 12  # pixels
TITLE, TEXT, SMALL = 17, 13, 11  # sizes of letters
BLACK, GREY, WHITE = (24, 24, 24), (96, 96, 96), (255, 255, 255)
Colour = tuple[int, int, int]
LABEL_WIDTH = 150  # of a row's caption


@dataclass(frozen=True)
class Sheet:
    """A grid of images.

    `images` has one batch per row, n x 3 x S x S in [-1, 1]; the last may be shorter. `rows` and
    `columns` are their captions, and `notes` a text under each image (such as its score); each may
    be empty. `about` describes how it was made: benchmark, system, setting, steps, seed. `shown`
    is the width of a drawn image in pixels, about.
    """

    title: str
    images: Sequence[Tensor]
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    caption: str = ""
    notes: Sequence[Sequence[str]] = ()
    about: Mapping[str, Json] = field(default_factory=dict)
    shown: int = SHOWN


def write(path: Path, sheet: Sheet, texts: Mapping[str, str] | None = None) -> None:
    """Draw a sheet into the PNG file `path`, whole or not at all.

    `texts` are added to its text chunks.
    """
    picture, cells = draw(sheet)
    chunks = PngImagePlugin.PngInfo()
    for name, text in {CHUNK: _description(sheet, cells), **(texts or {})}.items():
        chunks.add_itxt(name, text)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=chunks)
    write_whole(path, buffer.getvalue())


def _description(sheet: Sheet, cells: Mapping[str, int]) -> str:
    """The fields of a sheet except its images, and the positions of these, as JSON."""
    fields = {name: value for name, value in vars(sheet).items() if name != "images"}
    return json.dumps({**fields, "lengths": [len(row) for row in sheet.images], "cells": cells})


def draw(sheet: Sheet) -> tuple[Image.Image, dict[str, int]]:
    """Draw the sheet, and return the picture and the positions of the images in it.

    `left` and `top` are of the first image, `step_x` and `step_y` the distances to the next, `width`
    and `height` the size of an image before it is enlarged, and `scale` the factor.
    """
    height, width = sheet.images[0].shape[-2:]
    scale = max(1, round(sheet.shown / width))
    across = max(len(row) for row in sheet.images)
    step_x = width * scale + GAP
    labels = [textwrap.wrap(text, LABEL_WIDTH // 7) for text in sheet.rows]
    left = MARGIN
    if any(sheet.rows):
        left += max(map(_widest, labels)) + 8
    heads = [_fitted(text, step_x - 2) for text in sheet.columns]
    notes = [[_fitted(text, step_x - 2) for text in row] for row in sheet.notes]
    under = _line(SMALL) * max((len(n) for row in notes for n in row), default=0)
    step_y = height * scale + under + GAP
    right = max(left + across * step_x + MARGIN, 360)
    above = textwrap.wrap(sheet.caption, (right - 2 * MARGIN) // 7)
    titles = textwrap.wrap(sheet.title, (right - 2 * MARGIN) // 9)
    heads_top = MARGIN + len(titles) * _line(TITLE) + len(above) * _line(TEXT) + 4
    top = heads_top + _line(SMALL) * max(map(len, heads), default=0) + 2
    picture = Image.new("RGB", (right, top + len(sheet.images) * step_y + MARGIN), WHITE)
    pen = ImageDraw.Draw(picture)

    def write_lines(lines: Sequence[str], x: int, y: int, size: int, colour: Colour) -> None:
        for number, line in enumerate(lines):
            pen.text((x, y + number * _line(size)), line, colour, _font(size))

    write_lines(titles, MARGIN, MARGIN, TITLE, BLACK)
    write_lines(above, MARGIN, MARGIN + len(titles) * _line(TITLE), TEXT, GREY)
    for column, lines in enumerate(heads):
        shift = _line(SMALL) * (max(map(len, heads)) - len(lines))
        write_lines(lines, left + column * step_x, heads_top + shift, SMALL, BLACK)
    for row, images in enumerate(sheet.images):
        y = top + row * step_y
        if labels:
            write_lines(labels[row], MARGIN, y, TEXT, BLACK)
        for column, pixels in enumerate(_enlarged(images, scale)):
            x = left + column * step_x
            picture.paste(Image.fromarray(pixels), (x, y))
            if notes:
                write_lines(notes[row][column], x, y + height * scale, SMALL, GREY)
    places = {"left": left, "top": top, "step_x": step_x, "step_y": step_y}
    return picture, places | {"width": width, "height": height, "scale": scale}


def _enlarged(images: Tensor, scale: int) -> np.ndarray:
    """Images n x 3 x H x W in [-1, 1] as uint8 n x H' x W' x 3, each pixel enlarged `scale` times."""
    pixels = to_uint8(images.cpu().float()).permute(0, 2, 3, 1).numpy()
    return pixels.repeat(scale, 1).repeat(scale, 2)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _line(size: int) -> int:
    return round(size * 1.3)


def _fitted(text: str, width: int) -> list[str]:
    """`text` in lines of at most that many pixels of small letters; a longer word is cut."""
    font, lines = _font(SMALL), [""]
    most = max(1, width // 7)  # letters of a line that certainly fit
    for word in (part for whole in text.split() for part in textwrap.wrap(whole, most)):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _widest(lines: Sequence[str]) -> int:
    return int(max((_font(TEXT).getlength(line) for line in lines), default=0))
