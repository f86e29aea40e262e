"""Draw a portrait as SVG, part by part from back to front."""

from collections.abc import Callable, Iterator, Mapping

from diffae.data.portraits import features
from diffae.data.portraits.attributes import Portrait
from diffae.data.portraits.geometry import FaceGeometry, measure
from diffae.data.portraits.hair import back_hair, facial_hair, front_hair, hat
from diffae.data.portraits.palette import darker, hue, lighter, mix, skin
from diffae.data.portraits.svg import both, circle, curve, ellipse, path

SIZE = 200


def to_svg(portrait: Portrait) -> str:
    """The portrait as SVG text. `Blurry` changes nothing here, since `render` blurs the pixels."""
    face, scene = measure(portrait), portrait.scene
    place = (
        f"translate({11 * scene.shift_x:.2f} {-7 + 8 * scene.shift_y:.2f}) "
        f"rotate({10 * scene.turn:.2f} 100 110) "
        f"translate(100 110) scale({1.13 + 0.09 * scene.scale:.3f}) translate(-100 -110)"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}">'
        f'<defs>{_gradients(portrait)}<clipPath id="head"><path d="{head(face)}"/></clipPath></defs>'
        f"{_background(portrait)}"
        f'<g transform="{place}" stroke-linecap="round" stroke-linejoin="round">'
        f"{''.join(_parts(portrait, face))}</g></svg>"
    )


Draw = Callable[[Portrait, FaceGeometry], str]
# Parts that are drawn only if a portrait has the attribute.
BELOW = {"Wearing_Necklace": features.necklace, "Wearing_Necktie": features.necktie}
ON_SKIN = {
    "5_o_Clock_Shadow": features.shadow,
    "High_Cheekbones": features.cheekbones,
    "Rosy_Cheeks": features.rosy_cheeks,
}
ABOVE = {"Wearing_Earrings": features.earrings, "Eyeglasses": features.glasses, "Wearing_Hat": hat}
# Parts that are drawn on the face of every portrait.
ON_FACE = (features.eyes, features.brows, features.nose, facial_hair, features.mouth, front_hair)


def _having(portrait: Portrait, face: FaceGeometry, parts: Mapping[str, Draw]) -> str:
    present = (draw for name, draw in parts.items() if portrait.attributes[name])
    return "".join(draw(portrait, face) for draw in present)


def _parts(portrait: Portrait, face: FaceGeometry) -> Iterator[str]:
    yield back_hair(portrait, face)
    yield _neck(portrait, face)
    yield _clothes(portrait)
    yield _having(portrait, face, BELOW)
    yield _ears(portrait, face)
    yield _having(portrait, face, {"Double_Chin": features.double_chin})
    yield path(head(face), fill=skin(portrait))
    yield f'<g clip-path="url(#head)">{_on_skin(portrait, face)}</g>'
    for draw in ON_FACE:
        yield draw(portrait, face)
    yield _having(portrait, face, ABOVE)


def head(face: FaceGeometry) -> str:
    """The outline of the head: skull, cheeks, jaw and chin as one closed curve."""
    w, j, top, jaw, chin = face.half_width, face.half_jaw, face.top, face.jaw_y, face.chin
    skull = curve("M", 100 - w, 92, "C", 100 - w, top + 12, 100 - w * 0.62, top, 100, top)
    skull = curve(skull, "C", 100 + w * 0.62, top, 100 + w, top + 12, 100 + w, 92)
    right = curve("C", 100 + w, jaw - 24, 103 + j, jaw - 6, 100 + j, jaw)
    right = curve(right, "C", 100 + j * 0.72, chin - 3, 100 + j * 0.36, chin, 100, chin)
    left = curve("C", 100 - j * 0.36, chin, 100 - j * 0.72, chin - 3, 100 - j, jaw)
    left = curve(left, "C", 97 - j, jaw - 6, 100 - w, jaw - 24, 100 - w, 92)
    return curve(skull, right, left, "Z")


def _gradients(portrait: Portrait) -> str:
    scene = portrait.scene
    tone = hue(scene.background, 0.28 + 0.2 * scene.shape, 0.62 + 0.33 * scene.background_light)
    lit = 0.10 + 0.28 * scene.light_strength
    bright, dark = ("0", "1") if scene.light < 0 else ("1", "0")
    return (
        f'<linearGradient id="bg" x1="{bright}" y1="0" x2="{dark}" y2="1">'
        f'<stop offset="0" stop-color="{lighter(tone, 0.35)}"/><stop offset="1" stop-color="{darker(tone, 0.3)}"/>'
        f"</linearGradient>"
        f'<linearGradient id="light" x1="{bright}" y1="0" x2="{dark}" y2="0.25">'
        f'<stop offset="0" stop-color="#fff4e0" stop-opacity="{lit:.2f}"/>'
        f'<stop offset="0.5" stop-color="#fff4e0" stop-opacity="0"/>'
        f'<stop offset="0.55" stop-color="#2a1020" stop-opacity="0"/>'
        f'<stop offset="1" stop-color="#2a1020" stop-opacity="{lit * 1.1:.2f}"/></linearGradient>'
    )


def _background(portrait: Portrait) -> str:
    scene = portrait.scene
    accent = hue((scene.background + 0.08 + 0.3 * scene.shape) % 1, 0.35, 0.9)
    x, y = 200 * scene.shape, 30 + 70 * scene.background_light
    light = scene.background_light
    spot = circle(x, y, 28 + 30 * light, accent, opacity=0.35)
    shade = circle(200 - x, 190 - y, 22, "#fff", opacity=0.16)
    return f'<rect width="200" height="200" fill="url(#bg)"/>{spot}{shade}'


def _neck(portrait: Portrait, face: FaceGeometry) -> str:
    half, top = 24 if portrait.attributes["Male"] else 16, face.chin - 30
    tone = darker(skin(portrait), 0.16)
    shape = curve("M", 100 - half, top, "V 186 H", 100 + half, "V", top, "Z")
    return path(shape, fill=tone) + ellipse(100, face.chin + 3, half + 2, 9, darker(tone, 0.18))


def _clothes(portrait: Portrait) -> str:
    scene, male = portrait.scene, portrait.attributes["Male"]
    tone = hue(scene.clothes, 0.5, 0.35 + 0.5 * scene.accessory)
    half = 88 if male else 70
    left, right, slope = 100 - half, 100 + half, round(half * 0.6)
    shape = curve("M", left, 232, "C", left, 190, 100 - slope, 184, 76, 178)
    shape = curve(shape, "L", 100, 196 if male else 204, "L 124 178")
    shape = curve(shape, "C", 100 + slope, 184, right, 190, right, 232, "Z")
    collar = path("M 76 178 L 100 198 L 124 178", stroke=lighter(tone, 0.45), stroke_width=5)
    return path(shape, fill=tone) + (collar if male else "")


def _ears(portrait: Portrait, face: FaceGeometry) -> str:
    tone = mix(skin(portrait), "#a05040", 0.18)
    return both(lambda side: ellipse(100 + side * face.half_width, 106, 7, 12, tone))


def _on_skin(portrait: Portrait, face: FaceGeometry) -> str:
    drawn = _having(portrait, face, ON_SKIN) + features.wrinkles(portrait, face)
    light = '<rect x="40" y="20" width="120" height="160" fill="url(#light)"/>'
    return drawn + light
