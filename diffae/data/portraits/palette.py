"""Colours of a portrait. Each class has a range of colours, not a single one."""

import colorsys

from diffae.data.portraits.attributes import Portrait

SKIN = ("#f0c9a8", "#e3af88", "#c98d63", "#a86d45", "#7d4d31")
PALE = ("#fdf0e8", "#f8e3d8")
HAIR = {
    "Black_Hair": ("#141318", "#302a2e"),
    "Brown_Hair": ("#5b3a22", "#8a5a34"),
    "Blond_Hair": ("#dcb65a", "#f4e0a0"),
    "Gray_Hair": ("#a3a5ab", "#dcdde0"),
}
RED_HAIR = ("#a3431f", "#c8683a")
IRIS = ("#3d2a1d", "#6b4a2b", "#5a7d4a", "#3f7ea6", "#5f6f80")


def mix(a: str, b: str, share: float) -> str:
    """The colour at the fraction `share` between `a` and `b`."""
    pairs = zip(_channels(a), _channels(b), strict=True)
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)


def darker(colour: str, share: float) -> str:
    return mix(colour, "#1b0f14", share)


def lighter(colour: str, share: float) -> str:
    return mix(colour, "#ffffff", share)


def along(colours: tuple[str, ...], share: float) -> str:
    """The colour at the fraction `share` of the way along a sequence of colours."""
    place = min(share, 0.9999) * (len(colours) - 1)
    i = int(place)
    return mix(colours[i], colours[i + 1], place - i)


def hue(share: float, saturation: float, value: float) -> str:
    channels = colorsys.hsv_to_rgb(share, saturation, value)
    return "#" + "".join(f"{round(255 * c):02x}" for c in channels)


def skin(portrait: Portrait) -> str:
    pale = portrait.attributes["Pale_Skin"]
    return along(PALE if pale else SKIN, portrait.look.skin)


def hair(portrait: Portrait) -> str:
    for name, (dark, light) in HAIR.items():
        if portrait.attributes[name]:
            return mix(dark, light, portrait.look.hair_tone)
    return mix(*RED_HAIR, portrait.look.hair_tone)


def lips(portrait: Portrait) -> str:
    if portrait.attributes["Wearing_Lipstick"]:
        return along(("#d8103c", "#c00a58", "#e81f24"), portrait.scene.makeup)
    return mix(skin(portrait), "#96443f", 0.6)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
