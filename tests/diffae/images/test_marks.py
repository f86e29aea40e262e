"""Metadata of pictures: read back by Pillow, and the XMP packet by an XML parser."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from diffae.data.dataset import in_floats
from diffae.images import marks
from diffae.images.output import Output, Picture
from diffae.system.errors import UserError
from reports.page.sheets import read_sheet

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
SETTINGS = {"verb": "edit", "edit": {"Smiling": 0.3}, "source": 'Zoë <b> & "co".png'}


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


@pytest.mark.parametrize("edited, kind", [(True, "compositeWithTrained"), (False, "trained")])
def test_a_file_says_how_it_was_made_and_that_a_model_made_it(tmp_path, edited, kind):
    marks.save(tmp_path / "a.png", picture(), SETTINGS, edited)
    found = marks.read_mark(tmp_path / "a.png")
    assert SETTINGS.items() <= found.items() and found["software"].startswith("diffae-bench ")
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(picture()))
        packet = ET.fromstring(image.text["XML:com.adobe.xmp"].encode())
    (source,) = packet.iter(IPTC)
    assert source.text == f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}AlgorithmicMedia"


def test_an_animation_says_so_too_and_goes_there_and_back(tmp_path):
    pictures = [picture(i) for i in range(4)]
    marks.save_gif(tmp_path / "a.gif", pictures, SETTINGS)
    assert marks.read_mark(tmp_path / "a.gif")["digital_source_type"] == marks.EDITED
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 6 and image.info["loop"] == 0
        for frame, number in enumerate((0, 1, 2, 3, 2, 1)):
            image.seek(frame)
            assert image.info["duration"] == 120
            assert image.size == (128, 128)  # 16 times as large
            shown = np.asarray(image.convert("RGB")).astype(int)[8::16, 8::16]
            near = [np.abs(shown - np.asarray(other)).mean() for other in pictures]
            assert near.index(min(near)) == number


@pytest.mark.parametrize("content", [b"", b"GIF89a", "png"])
def test_a_picture_of_others_says_nothing(tmp_path, content):
    if content == "png":
        picture().save(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match="says nothing of how it was made"):
        marks.read_mark(tmp_path / "a.png")


def test_a_folder_of_many_pictures_has_them_all_and_a_sheet_of_the_first(tmp_path):
    """Two of one name are two files."""
    page = Output(tmp_path, {"verb": "edit"}, edited=True)
    names = ["a.png", "Sheet.png", "a.png", *(f"{i}.png" for i in range(23))]
    for i, name in enumerate(names):
        page.add([Picture(in_floats(np.asarray(picture(i))[None])[0], name, {"number": i})], name)
    page.finish("A title", "A caption.")
    kept = ["a.png", "Sheet-2.png", "a-2.png", *names[3:]]
    assert {path.name for path in tmp_path.iterdir()} == {"sheet.png", *kept}
    for i, name in enumerate(kept):
        assert marks.read_mark(tmp_path / name)["number"] == i
        assert np.array_equal(Image.open(tmp_path / name), picture(i))
    sheet = read_sheet(tmp_path / "sheet.png")
    assert list(sheet.rows) == names[:24]
    assert sheet.caption == "A caption. 2 more rows are not shown."
