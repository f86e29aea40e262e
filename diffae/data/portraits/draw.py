"""The drawing: one small function per part, from back to front."""

from collections.abc import Iterator

from diffae.data.portraits import features
from diffae.data.portraits.attributes import Portrait
from diffae.data.portraits.geometry import CENTRE, Face, measure
from diffae.data.portraits.hair import back_hair, facial_hair, front_hair, hat
from diffae.data.portraits.palette import darker, hue, lighter, mix, skin

SIZE = 200


def to_svg(portrait: Portrait) -> str:
    """The portrait as SVG text. `Blurry` is not part of it: `render` blurs the pixels."""
    face, scene = measure(portrait), portrait.scene
    place = (
        f"translate({11 * scene.shift_x:.2f} {-7 + 8 * scene.shift_y:.2f}) "
        f"rotate({10 * scene.turn:.2f} 100 110) "
        f"translate(100 110) scale({1.13 + 0.09 * scene.scale:.3f}) translate(-100 -110)"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}">'
        f"<defs>{_gradients(portrait)}{_head_clip(face)}</defs>"
        f"{_background(portrait)}"
        f'<g transform="{place}" stroke-linecap="round" stroke-linejoin="round">'
        f"{''.join(_parts(portrait, face))}</g></svg>"
    )


def _parts(portrait: Portrait, face: Face) -> Iterator[str]:
    yield back_hair(portrait, face)
    yield _neck(portrait, face)
    yield _clothes(portrait, face)
    yield features.necklace(portrait) + features.necktie(portrait)
    yield _ears(portrait, face)
    yield features.double_chin(portrait, face)
    yield f'<path d="{head_path(face)}" fill="{skin(portrait)}"/>'
    yield f'<g clip-path="url(#head)">{_on_skin(portrait, face)}</g>'
    yield features.eyes(portrait, face) + features.brows(portrait, face)
    yield features.nose(portrait, face)
    yield facial_hair(portrait, face)
    yield features.mouth(portrait, face)
    yield front_hair(portrait, face)
    yield features.earrings(portrait, face)
    yield features.glasses(portrait, face)
    yield hat(portrait, face)


def head_path(face: Face) -> str:
    """Skull, cheeks, jaw and chin as one closed curve."""
    c, w, j = CENTRE, face.half_width, face.half_jaw
    top, jaw, chin = face.top, face.jaw_y, face.chin
    return (
        f"M{c - w:.1f} 92C{c - w:.1f} {top + 12:.1f} {c - w * 0.62:.1f} {top:.1f} {c} {top:.1f}"
        f"C{c + w * 0.62:.1f} {top:.1f} {c + w:.1f} {top + 12:.1f} {c + w:.1f} 92"
        f"C{c + w:.1f} {jaw - 24:.1f} {c + j + 3:.1f} {jaw - 6:.1f} {c + j:.1f} {jaw:.1f}"
        f"C{c + j * 0.72:.1f} {chin - 3:.1f} {c + j * 0.36:.1f} {chin:.1f} {c} {chin:.1f}"
        f"C{c - j * 0.36:.1f} {chin:.1f} {c - j * 0.72:.1f} {chin - 3:.1f} {c - j:.1f} {jaw:.1f}"
        f"C{c - j - 3:.1f} {jaw - 6:.1f} {c - w:.1f} {jaw - 24:.1f} {c - w:.1f} 92Z"
    )


def _head_clip(face: Face) -> str:
    return f'<clipPath id="head"><path d="{head_path(face)}"/></clipPath>'


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
    return (
        '<rect width="200" height="200" fill="url(#bg)"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{28 + 30 * scene.background_light:.1f}" fill="{accent}" opacity="0.35"/>'
        f'<circle cx="{200 - x:.1f}" cy="{190 - y:.1f}" r="22" fill="#fff" opacity="0.16"/>'
    )


def _neck(portrait: Portrait, face: Face) -> str:
    half = 24 if portrait.attributes["Male"] else 16
    tone = darker(skin(portrait), 0.16)
    y = face.chin - 30
    return (
        f'<path d="M{100 - half} {y:.1f}V186H{100 + half}V{y:.1f}Z" fill="{tone}"/>'
        f'<ellipse cx="100" cy="{face.chin + 3:.1f}" rx="{half + 2}" ry="9" fill="{darker(tone, 0.18)}"/>'
    )


def _clothes(portrait: Portrait, face: Face) -> str:
    scene, male = portrait.scene, portrait.attributes["Male"]
    tone = hue(scene.clothes, 0.5, 0.35 + 0.5 * scene.accessory)
    half = 88 if male else 70
    shoulder = (
        f"M{100 - half} 232C{100 - half} 190 {100 - half * 0.6:.0f} 184 {100 - 24} 178"
        f"L100 {196 if male else 204}L{100 + 24} 178C{100 + half * 0.6:.0f} 184 {100 + half} 190 {100 + half} 232Z"
    )
    collar = f'<path d="M76 178L100 198L124 178" fill="none" stroke="{lighter(tone, 0.45)}" stroke-width="5"/>'
    return f'<path d="{shoulder}" fill="{tone}"/>' + (collar if male else "")


def _ears(portrait: Portrait, face: Face) -> str:
    tone = mix(skin(portrait), "#a05040", 0.18)
    return "".join(
        f'<ellipse cx="{100 + side * face.half_width:.1f}" cy="106" rx="7" ry="12" fill="{tone}"/>'
        for side in (-1, 1)
    )


def _on_skin(portrait: Portrait, face: Face) -> str:
    return (
        features.shadow(portrait, face)
        + features.cheekbones(portrait, face)
        + features.rosy_cheeks(portrait, face)
        + features.wrinkles(portrait, face)
        + '<rect x="40" y="20" width="120" height="160" fill="url(#light)"/>'
    )
