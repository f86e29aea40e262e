"""Marks in pictures: PNG texts that say how a file was made, and that a model made it.

Each file has two texts: `diffae`, the settings as JSON, and the XMP packet (`XML:com.adobe.xmp`)
with IPTC's Digital Source Type, which platforms look for: "trainedAlgorithmicMedia" for pictures
drawn from noise alone, "compositeWithTrainedAlgorithmicMedia" for those made from a picture (IPTC
Photo Metadata Standard 2023.1). The metadata of the source, such as its location, are not copied.
The mark is a label, not a protection: saving the picture with other software may remove it.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

import diffae
from diffae.data.transforms import DECODING_ERRORS
from diffae.system.errors import UserError
from diffae.system.files import Json, JsonObject
from diffae.system.whole import whole_file

Settings = Mapping[str, Json]  # that a picture was made with
SETTINGS, XMP = "diffae", "XML:com.adobe.xmp"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = VOCABULARY + "trainedAlgorithmicMedia"
EDITED = VOCABULARY + "compositeWithTrainedAlgorithmicMedia"
SIDE = 128  # pixels of an animation, about: browsers blur small ones
PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>"""


def texts(settings: Settings, edited: bool) -> dict[str, str]:
    """The texts of a file that a model made: `edited` from a picture, or drawn from noise."""
    source = EDITED if edited else GENERATED
    software = f"diffae-bench {diffae.__version__}"
    about = {"software": software, "digital_source_type": source, **settings}
    return {SETTINGS: json.dumps(about), XMP: PACKET.format(source=source)}


def save(path: str | Path, image: Image.Image, settings: Settings, edited: bool) -> None:
    """Write a picture that a model made to a PNG file, whole or not at all.

    It was `edited` from another picture, or drawn from noise.
    """
    info = PngInfo()
    for name, text in texts(settings, edited).items():
        info.add_itxt(name, text)  # UTF-8, needed for a file's name; tEXt does not support it
    with whole_file(Path(path)) as partial:
        image.save(partial, format="PNG", pnginfo=info)


def save_gif(path: Path, images: Sequence[Image.Image], settings: Settings) -> None:
    """Write a GIF of pictures that a model made from others.

    It plays forwards and backwards in a loop, and each pixel is enlarged to a square. Its comment
    has the settings; a GIF has no field for XMP.
    """
    side = images[0].width * max(1, SIDE // images[0].width)
    there_and_back = [*images, *images[-2:0:-1]]
    first, *others = [
        image.resize((side, side), Image.Resampling.NEAREST) for image in there_and_back
    ]
    comment = texts(settings, edited=True)[SETTINGS].encode()
    animated = {"save_all": True, "append_images": others, "duration": 120, "loop": 0}  # ms
    first.save(path, "GIF", comment=comment, optimize=False, **animated)


def read_mark(path: str | Path) -> JsonObject:
    """The settings that one of our pictures was made with. Raises UserError if it has no mark."""
    with suppress(*DECODING_ERRORS, KeyError, RecursionError):
        with Image.open(path, formats=("PNG", "GIF")) as image:
            settings = json.loads(image.info.get(SETTINGS) or image.info["comment"])
        if isinstance(settings, dict) and "digital_source_type" in settings:
            return settings
    raise UserError(f"{path}: says nothing of how it was made, or not by this software")
