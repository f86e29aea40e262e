"""Parts of the face and accessories: each function draws one, with the attributes that show in it."""

from diffae.data.portraits.attributes import Portrait
from diffae.data.portraits.geometry import Face
from diffae.data.portraits.palette import IRIS, along, darker, hair, hue, lighter, lips, mix, skin

BOTH = (-1, 1)


def eyes(portrait: Portrait, face: Face) -> str:
    return "".join(_eye(portrait, face, side) for side in BOTH)


def _eye(portrait: Portrait, face: Face, side: int) -> str:
    a, scene = portrait.attributes, portrait.scene
    x, y, rx, ry = face.x + side * face.eye_dx, face.eye_y, face.eye_rx, face.eye_ry
    iris_x = x + 2.2 * scene.gaze
    r = min(rx * 0.56, ry + 1.2)
    lid = "#20121a" if a["Heavy_Makeup"] else darker(skin(portrait), 0.62)
    parts = []
    if a["Bags_Under_Eyes"]:
        bag = darker(mix(skin(portrait), "#5a3a70", 0.45), 0.25)
        parts.append(
            f'<path d="M{x - rx:.1f} {y + ry + 2:.1f}Q{x:.1f} {y + ry + 19:.1f} {x + rx:.1f} {y + ry + 2:.1f}'
            f'Q{x:.1f} {y + ry + 4:.1f} {x - rx:.1f} {y + ry + 2:.1f}Z" fill="{bag}"/>'
        )
    if a["Heavy_Makeup"]:
        shade = along(("#7a3fa0", "#2f6fb5", "#1f8f8a"), scene.makeup)
        parts.append(
            f'<ellipse cx="{x:.1f}" cy="{y - 4:.1f}" rx="{rx + 4:.1f}" ry="{ry + 5:.1f}" fill="{shade}" opacity="0.8"/>'
        )
    parts.append(f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}" fill="#fffdf8"/>')
    parts.append(
        f'<circle cx="{iris_x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{along(IRIS, portrait.look.iris)}"/>'
    )
    parts.append(f'<circle cx="{iris_x:.1f}" cy="{y:.1f}" r="{r * 0.5:.1f}" fill="#120c10"/>')
    parts.append(
        f'<circle cx="{iris_x + 1.6:.1f}" cy="{y - 1.8:.1f}" r="{r * 0.32:.1f}" fill="#fff"/>'
    )
    parts.append(
        f'<path d="M{x - rx - 1:.1f} {y:.1f}Q{x:.1f} {y - ry * 2 - 0.6:.1f} {x + rx + 1:.1f} {y:.1f}" fill="none" '
        f'stroke="{lid}" stroke-width="{3.6 if a["Heavy_Makeup"] else 2.2}"/>'
    )
    if a["Attractive"]:
        parts.append(_lashes(x, y, rx, ry, side, lid))
    return "".join(parts)


def _lashes(x: float, y: float, rx: float, ry: float, side: int, colour: str) -> str:
    """Lashes at the outer corner and, on one cheek, a beauty mark."""
    out = x + side * rx
    lash = (
        f'<path d="M{out:.1f} {y - 1:.1f}l{side * 6} -4M{out - side * 2:.1f} {y - ry * 0.6:.1f}l{side * 5} -6" '
        f'stroke="{colour}" stroke-width="2.2" fill="none"/>'
    )
    mark = (
        f'<circle cx="{x + 3:.1f}" cy="{y + 24:.1f}" r="2.4" fill="#3a1c18"/>' if side > 0 else ""
    )
    return lash + mark


def brows(portrait: Portrait, face: Face) -> str:
    a = portrait.attributes
    colour = darker(hair(portrait), 0.35)
    width = (8.5 if a["Bushy_Eyebrows"] else 2.8) + 1.2 * portrait.look.brow
    rise = 13 if a["Arched_Eyebrows"] else 2.5
    y = face.brow_y - (face.eye_ry - 4)
    paths = []
    for side in BOTH:
        x0 = face.x + side * (face.eye_dx - 10)
        x1 = face.x + side * (face.eye_dx + 12)
        peak = face.x + side * (face.eye_dx + 4)
        paths.append(
            f"M{x0:.1f} {y + 1:.1f}Q{peak:.1f} {y - 2 * rise + 2:.1f} {x1:.1f} {y + 3:.1f}"
        )
    return f'<path d="{"".join(paths)}" fill="none" stroke="{colour}" stroke-width="{width:.1f}"/>'


def nose(portrait: Portrait, face: Face) -> str:
    a, tone = portrait.attributes, skin(portrait)
    x, y, top = face.x + 0.5 * face.yaw, face.nose_y, face.eye_y + 4
    dark, light = darker(tone, 0.34), lighter(tone, 0.4)
    if a["Big_Nose"]:
        return (
            f'<path d="M{x - 4:.1f} {top:.1f}L{x - 7:.1f} {y - 8:.1f}" stroke="{dark}" stroke-width="2" fill="none"/>'
            f'<ellipse cx="{x:.1f}" cy="{y - 1:.1f}" rx="17" ry="11.5" fill="{darker(tone, 0.22)}"/>'
            f'<ellipse cx="{x:.1f}" cy="{y - 4:.1f}" rx="7" ry="5" fill="{light}" opacity="0.8"/>'
            f'<ellipse cx="{x - 7:.1f}" cy="{y + 4:.1f}" rx="3.4" ry="2.4" fill="{darker(tone, 0.6)}"/>'
            f'<ellipse cx="{x + 7:.1f}" cy="{y + 4:.1f}" rx="3.4" ry="2.4" fill="{darker(tone, 0.6)}"/>'
        )
    if a["Pointy_Nose"]:
        return (
            f'<path d="M{x - 3:.1f} {top:.1f}L{x - 10:.1f} {y + 1:.1f}L{x:.1f} {y + 11:.1f}L{x + 8:.1f} {y:.1f}Z" '
            f'fill="{darker(tone, 0.42)}"/>'
            f'<path d="M{x - 1:.1f} {top:.1f}L{x:.1f} {y + 9:.1f}" stroke="{light}" stroke-width="4.5" fill="none"/>'
        )
    return (
        f'<path d="M{x - 6:.1f} {y - 1:.1f}Q{x:.1f} {y + 6:.1f} {x + 6:.1f} {y - 1:.1f}" fill="none" '
        f'stroke="{dark}" stroke-width="2.6"/>'
    )


def mouth(portrait: Portrait, face: Face) -> str:
    a = portrait.attributes
    x, y = face.x, face.mouth_y
    half = face.mouth_half + 3 * a["Big_Lips"]
    curve = 9 if a["Smiling"] else -1.5
    lip = 9.5 if a["Big_Lips"] else 3.0
    gap = 10.5 if a["Mouth_Slightly_Open"] else 0.0
    corner = y - curve * 0.5
    colour = lips(portrait)
    middle = corner + curve * 2
    upper = f"M{x - half:.1f} {corner:.1f}Q{x:.1f} {corner + curve * 0.9 - lip * 2 - 1:.1f} {x + half:.1f} {corner:.1f}"
    lower = f"Q{x:.1f} {middle + gap * 1.6 + lip * 2 + 1:.1f} {x - half:.1f} {corner:.1f}Z"
    inner_half = half - 3
    inner = (
        f"M{x - inner_half:.1f} {corner:.1f}Q{x:.1f} {corner + curve * 1.2:.1f} {x + inner_half:.1f} {corner:.1f}"
        f"Q{x:.1f} {middle + gap * 1.6:.1f} {x - inner_half:.1f} {corner:.1f}Z"
    )
    line = darker(colour, 0.55)
    parts = [f'<path d="{upper}{lower}" fill="{colour}"/>']
    if gap:
        parts.append(f'<path d="{inner}" fill="#4a1420"/>')
        parts.append(_teeth(x, corner, curve, inner_half))
    else:
        parts.append(
            f'<path d="M{x - half:.1f} {corner:.1f}Q{x:.1f} {middle:.1f} {x + half:.1f} {corner:.1f}" fill="none" '
            f'stroke="{line}" stroke-width="2"/>'
        )
    if a["Smiling"]:
        parts.append(_dimples(portrait, x, corner, half))
    return "".join(parts)


def _teeth(x: float, y: float, curve: float, half: float) -> str:
    w = half * 0.72
    top = y + curve * 0.5 + 0.4
    return (
        f'<path d="M{x - w:.1f} {top:.1f}Q{x:.1f} {top + curve * 0.7:.1f} {x + w:.1f} {top:.1f}'
        f'Q{x:.1f} {top + curve * 0.7 + 7:.1f} {x - w:.1f} {top:.1f}Z" fill="#fff"/>'
    )


def _dimples(portrait: Portrait, x: float, y: float, half: float) -> str:
    colour = darker(skin(portrait), 0.35)
    return "".join(
        f'<path d="M{x + side * (half + 2):.1f} {y - 5:.1f}q{side * 5} 5 {side * 1.5} 10" fill="none" '
        f'stroke="{colour}" stroke-width="2"/>'
        for side in BOTH
    )


def shadow(portrait: Portrait, face: Face) -> str:
    """A 5 o'clock shadow: cheeks, upper lip and jaw darkened."""
    if not portrait.attributes["5_o_Clock_Shadow"]:
        return ""
    y = face.nose_y + 3
    tone = mix(darker(skin(portrait), 0.45), "#46505f", 0.5)
    return (
        f'<path d="M40 {y - 10:.1f}Q{face.x - 26:.1f} {y + 8:.1f} {face.x - 12:.1f} {y:.1f}H{face.x + 12:.1f}'
        f'Q{face.x + 26:.1f} {y + 8:.1f} 160 {y - 10:.1f}V190H40Z" fill="{tone}" opacity="0.5"/>'
    )


def cheekbones(portrait: Portrait, face: Face) -> str:
    if not portrait.attributes["High_Cheekbones"]:
        return ""
    tone, parts = skin(portrait), []
    hollow = darker(mix(tone, "#b0604a", 0.45), 0.25)
    for side in BOTH:
        x, y = face.x + side * 29, face.eye_y + 18
        parts.append(
            f'<g transform="rotate({-28 * side} {x:.1f} {y:.1f})">'
            f'<ellipse cx="{x:.1f}" cy="{y + 9:.1f}" rx="16" ry="7" fill="{hollow}" opacity="0.6"/>'
            f'<ellipse cx="{x:.1f}" cy="{y - 1:.1f}" rx="14" ry="6.5" fill="{lighter(tone, 0.55)}" opacity="0.9"/></g>'
        )
    return "".join(parts)


def rosy_cheeks(portrait: Portrait, face: Face) -> str:
    if not portrait.attributes["Rosy_Cheeks"]:
        return ""
    return "".join(
        f'<circle cx="{face.x + side * 27:.1f}" cy="{face.eye_y + 24:.1f}" r="11" fill="#f2405e" opacity="0.55"/>'
        for side in BOTH
    )


def wrinkles(portrait: Portrait, face: Face) -> str:
    """Lines of age: forehead, outer corners of the eyes, from nose to mouth."""
    if portrait.attributes["Young"]:
        return ""
    x, y = face.x, face.brow_y - 9
    lines = [f"M{x - 20:.1f} {y - 7 * i:.1f}q20 -4 40 0" for i in (0, 1)]
    for side in BOTH:
        eye = x + side * (face.eye_dx + face.eye_rx + 3)
        lines += [f"M{eye:.1f} {face.eye_y + d:.1f}l{side * 8} {d * 1.3:.1f}" for d in (-3, 3)]
        lines.append(
            f"M{x + side * 11:.1f} {face.nose_y - 2:.1f}q{side * 13} 8 {side * 11} {face.mouth_y - face.nose_y + 7:.1f}"
        )
    tone = darker(skin(portrait), 0.48)
    return f'<path d="{"".join(lines)}" fill="none" stroke="{tone}" stroke-width="3"/>'


def double_chin(portrait: Portrait, face: Face) -> str:
    if not portrait.attributes["Double_Chin"]:
        return ""
    tone, y = skin(portrait), face.chin
    return (
        f'<ellipse cx="100" cy="{y - 2:.1f}" rx="{face.half_jaw * 1.02:.1f}" ry="20" fill="{darker(tone, 0.05)}"/>'
        f'<path d="M{100 - face.half_jaw * 0.8:.1f} {y + 4:.1f}Q100 {y + 28:.1f} {100 + face.half_jaw * 0.8:.1f} {y + 4:.1f}" '
        f'fill="none" stroke="{darker(tone, 0.5)}" stroke-width="4.5"/>'
    )


def glasses(portrait: Portrait, face: Face) -> str:
    if not portrait.attributes["Eyeglasses"]:
        return ""
    frame = along(("#15151a", "#5a2a18", "#20356a"), portrait.scene.accessory)
    y, dx = face.eye_y, face.eye_dx
    lenses = "".join(
        f'<rect x="{face.x + side * dx - 15:.1f}" y="{y - 11:.1f}" width="30" height="25" rx="9" fill="#cfe6f5" '
        f'fill-opacity="0.35" stroke="{frame}" stroke-width="4"/>'
        for side in BOTH
    )
    bridge = f"M{face.x - dx + 15:.1f} {y - 2:.1f}H{face.x + dx - 15:.1f}"
    arms = "".join(
        f"M{face.x + side * (dx + 15):.1f} {y - 3:.1f}L{100 + side * (face.half_width + 3):.1f} {y - 5:.1f}"
        for side in BOTH
    )
    return f'{lenses}<path d="{bridge}{arms}" stroke="{frame}" stroke-width="4" fill="none"/>'


def earrings(portrait: Portrait, face: Face) -> str:
    if not portrait.attributes["Wearing_Earrings"]:
        return ""
    colour = along(("#ffd23f", "#3fe0ff", "#ff5fa8"), portrait.scene.accessory)
    return "".join(
        f'<circle cx="{100 + side * (face.half_width + 2):.1f}" cy="125" r="6.5" fill="{colour}" stroke="#fff" stroke-width="1.6"/>'
        for side in BOTH
    )


def necklace(portrait: Portrait) -> str:
    if not portrait.attributes["Wearing_Necklace"]:
        return ""
    colour = along(("#ffe9a0", "#fff6f0", "#ffd23f"), portrait.scene.makeup)
    beads = [(-27, 170), (-20, 178), (-11, 184), (-1, 186), (9, 184), (18, 178), (25, 170)]
    return "".join(
        f'<circle cx="{101 + x}" cy="{y}" r="5.4" fill="{colour}" stroke="#8a6414" stroke-width="1"/>'
        for x, y in beads
    )


def necktie(portrait: Portrait) -> str:
    if not portrait.attributes["Wearing_Necktie"]:
        return ""
    colour = hue((portrait.scene.clothes + 0.5) % 1, 0.85, 0.75)
    return (
        '<path d="M66 174L100 190L134 174L146 232H54Z" fill="#fbfaf7"/>'
        f'<path d="M89 175H111L106 187L117 232H83L94 187Z" fill="{colour}" stroke="{darker(colour, 0.4)}" stroke-width="1.5"/>'
    )
