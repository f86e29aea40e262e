"""Metadata of pictures: read back by Pillow, and the XMP packet by an XML parser."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from diffae.images import marks
from diffae.system.errors import UserError

IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
SETTINGS = {"verb": "edit", "edit": {"Smiling": 0.3}, "source": 'Zoë <b> & "co".png'}


def picture(seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


@pytest.mark.parametrize("edited, kind", [(True, marks.EDITED), (False, marks.GENERATED)])
def test_a_file_says_how_it_was_made_and_that_a_model_made_it(tmp_path, edited, kind):
    marks.save(tmp_path / "a.png", picture(), SETTINGS, edited)
    found = marks.read_mark(tmp_path / "a.png")
    assert SETTINGS.items() <= found.items() and found["software"].startswith("diffae-bench ")
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(picture()))
        packet = ET.fromstring(image.text["XML:com.adobe.xmp"].encode())
    (source,) = packet.iter(IPTC)
    assert source.text == f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"


def test_an_animation_says_so_too_and_goes_there_and_back(tmp_path):
    (tmp_path / "a.gif").write_bytes(
        marks.gif([picture(i) for i in range(4)], SETTINGS, marks.EDITED)
    )
    assert marks.read_mark(tmp_path / "a.gif")["digital_source_type"].endswith(marks.EDITED)
    with Image.open(tmp_path / "a.gif") as image:
        assert image.n_frames == 6 and image.info["loop"] == 0


@pytest.mark.parametrize("content", [b"", b"GIF89a", "png"])
def test_a_picture_of_others_says_nothing(tmp_path, content):
    if content == "png":
        picture().save(tmp_path / "a.png")
    else:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError, match="says nothing of how it was made"):
        marks.read_mark(tmp_path / "a.png")
