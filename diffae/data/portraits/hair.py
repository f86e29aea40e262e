"""Hair behind and in front of the face, beards, and hats."""

from diffae.data.portraits.attributes import Portrait
from diffae.data.portraits.geometry import Face
from diffae.data.portraits.palette import along, darker, hair, hue, lighter


def _long(portrait: Portrait) -> bool:
    return not portrait.attributes["Male"] and not portrait.attributes["Bald"]


def back_hair(portrait: Portrait, face: Face) -> str:
    """The hair behind the head: long for women, with a straight, wavy or round edge."""
    if not _long(portrait):
        return ""
    a, look = portrait.attributes, portrait.look
    half = face.half_width + 11 + 7 * look.hair_volume
    end = 150 + 40 * look.hair_length
    tone = darker(hair(portrait), 0.18)
    left, right = 100 - half, 100 + half
    top = f"M{left:.1f} 96C{left:.1f} 14 {right:.1f} 14 {right:.1f} 96"
    if a["Wavy_Hair"]:
        return f'<path d="{top}{_waves(right, 96, end, 1)}L{left:.1f} {end:.1f}{_waves(left, end, 96, -1)}Z" fill="{tone}"/>'
    if a["Straight_Hair"]:
        shape = f'<path d="{top}L{right + 3:.1f} {end:.1f}H{left - 3:.1f}Z" fill="{tone}"/>'
        return shape + _strands(portrait, [left + 5, left + 11, right - 11, right - 5], 96, end - 2)
    return (
        f'<path d="{top}C{right:.1f} {end + 10:.1f} {right - 14:.1f} {end + 8:.1f} 118 {end - 6:.1f}'
        f'H82C{left + 14:.1f} {end + 8:.1f} {left:.1f} {end + 10:.1f} {left:.1f} 96Z" fill="{tone}"/>'
    )


def _waves(x: float, start: float, end: float, side: int) -> str:
    """A scalloped edge from `start` to `end` at `x`."""
    count = max(round(abs(end - start) / 16), 2)
    step = (end - start) / count
    return "".join(
        f"Q{x + side * 15:.1f} {start + step * (i + 0.5):.1f} {x:.1f} {start + step * (i + 1):.1f}"
        for i in range(count)
    )


def _strands(portrait: Portrait, xs: list[float], start: float, end: float) -> str:
    lines = "".join(f"M{x:.1f} {start:.1f}V{end:.1f}" for x in xs)
    tone = hair(portrait)
    return f'<path d="{lines}" stroke="{lighter(tone, 0.3)}" stroke-width="2" fill="none"/>'


def front_hair(portrait: Portrait, face: Face) -> str:
    """The cap of hair on the skull, its hairline and fringe."""
    a, look = portrait.attributes, portrait.look
    if a["Bald"]:
        return _bald_shine(face)
    tone = hair(portrait)
    half = face.half_width + 3 + 3 * look.hair_volume
    crown = face.top - 7 - 8 * look.hair_volume
    line = 64.0 if not a["Receding_Hairline"] else 42.0
    side = 104 if a["Male"] else 112
    cap = (
        f"M{100 - half:.1f} {side}C{100 - half - 4:.1f} {crown + 8:.1f} {100 - half * 0.6:.1f} {crown:.1f} 100 {crown:.1f}"
        f"C{100 + half * 0.6:.1f} {crown:.1f} {100 + half + 4:.1f} {crown + 8:.1f} {100 + half:.1f} {side}"
    )
    parts = [f'<path d="{cap}{_hairline(portrait, face, line)}Z" fill="{tone}"/>']
    if a["Wavy_Hair"]:
        parts.append(_curls(face, half, crown, tone))
    if a["Straight_Hair"]:
        parts.append(_combed(crown, line, tone))
    if a["Bangs"]:
        parts.append(_bangs(face, half, tone))
    return "".join(parts)


def _hairline(portrait: Portrait, face: Face, y: float) -> str:
    """From the right temple to the left, above the forehead."""
    inner = face.half_width - 3
    if portrait.attributes["Receding_Hairline"]:  # bare temples around a lock in the middle
        return (
            f"L{100 + inner:.1f} 92Q{100 + inner - 2:.1f} {y - 2:.1f} {100 + 18} {y - 4:.1f}Q100 {y + 10:.1f} {100 - 18} {y - 4:.1f}"
            f"Q{100 - inner + 2:.1f} {y - 2:.1f} {100 - inner:.1f} 92"
        )
    part = 100 + 30 * (portrait.look.parting - 0.5)
    return (
        f"L{100 + inner:.1f} 94Q{100 + inner - 4:.1f} {y + 4:.1f} {part:.1f} {y:.1f}"
        f"Q{100 - inner + 4:.1f} {y + 4:.1f} {100 - inner:.1f} 94"
    )


def _curls(face: Face, half: float, crown: float, tone: str) -> str:
    """Bumps along the crown."""
    right = [(0.38, 33), (0.72, 44), (0.92, 62), (1.0, 82)]
    places = [*((-x, y) for x, y in right[::-1]), (0.0, 29), *right]
    light = lighter(tone, 0.22)
    bumps = "".join(
        f'<circle cx="{100 + half * x:.1f}" cy="{y + crown - 20:.1f}" r="12" fill="{tone}"/>'
        for x, y in places
    )
    marks = "".join(
        f"M{100 + half * x * 0.86 - 6:.1f} {y + crown - 14:.1f}q6 -8 12 0" for x, y in places[1:-1]
    )
    return f'{bumps}<path d="{marks}" fill="none" stroke="{light}" stroke-width="2.4"/>'


def _combed(crown: float, line: float, tone: str) -> str:
    """Straight strands on the crown."""
    lines = "".join(
        f"M{100 + dx * 0.72:.1f} {crown + 5 + abs(dx) * 0.3:.1f}L{100 + dx:.1f} {line - 4 + abs(dx) * 0.4:.1f}"
        for dx in (-34, -20, -7, 7, 20, 34)
    )
    return f'<path d="{lines}" fill="none" stroke="{lighter(tone, 0.32)}" stroke-width="2.6"/>'


def _bangs(face: Face, half: float, tone: str) -> str:
    """A fringe down to the brows."""
    y, w = face.brow_y - 1, half - 5
    teeth = "".join(
        f"Q{100 + w - (i + 0.5) * w / 3:.1f} {y + 10:.1f} {100 + w - (i + 1) * w / 3:.1f} {y - 3:.1f}"
        for i in range(6)
    )
    return f'<path d="M{100 - w:.1f} {y:.1f}C{100 - w:.1f} 44 {100 + w:.1f} 44 {100 + w:.1f} {y:.1f}{teeth}Z" fill="{darker(tone, 0.1)}"/>'


def _bald_shine(face: Face) -> str:
    return f'<ellipse cx="{face.x - 12:.1f}" cy="52" rx="14" ry="8" fill="#fff" opacity="0.5"/>'


def facial_hair(portrait: Portrait, face: Face) -> str:
    """A beard along the jaw unless No_Beard; goatee, moustache and sideburns on top of it."""
    a = portrait.attributes
    if a["No_Beard"]:
        return ""
    tone = darker(hair(portrait), 0.25)
    j, w, x = face.half_jaw, face.half_width, face.x
    jaw, chin, mouth = face.jaw_y, face.chin, face.mouth_y
    parts = [
        f'<path d="M{100 - w + 1:.1f} {jaw - 24:.1f}Q{100 - j - 2:.1f} {jaw + 2:.1f} {100 - j * 0.6:.1f} {chin - 4:.1f}'
        f"Q100 {chin + 7:.1f} {100 + j * 0.6:.1f} {chin - 4:.1f}Q{100 + j + 2:.1f} {jaw + 2:.1f} {100 + w - 1:.1f} {jaw - 24:.1f}"
        f'Q{100 + j - 8:.1f} {jaw + 4:.1f} 100 {chin - 7:.1f}Q{100 - j + 8:.1f} {jaw + 4:.1f} {100 - w + 1:.1f} {jaw - 24:.1f}Z" fill="{tone}"/>'
    ]
    if a["Goatee"]:
        parts.append(
            f'<path d="M{x - 13:.1f} {mouth + 8:.1f}H{x + 13:.1f}Q{x + 12:.1f} {chin + 12:.1f} {x:.1f} {chin + 17:.1f}'
            f'Q{x - 12:.1f} {chin + 12:.1f} {x - 13:.1f} {mouth + 8:.1f}Z" fill="{tone}"/>'
        )
    if a["Mustache"]:
        y = (face.nose_y + mouth) / 2 + 1
        parts.append(
            f'<path d="M{x:.1f} {y - 4:.1f}Q{x + 12:.1f} {y - 7:.1f} {x + 22:.1f} {y + 7:.1f}Q{x + 8:.1f} {y + 6:.1f} {x:.1f} {y + 2:.1f}'
            f'Q{x - 8:.1f} {y + 6:.1f} {x - 22:.1f} {y + 7:.1f}Q{x - 12:.1f} {y - 7:.1f} {x:.1f} {y - 4:.1f}Z" fill="{tone}"/>'
        )
    if a["Sideburns"]:
        parts += [
            f'<path d="M{100 + s * (w + 1):.1f} 88L{100 + s * (w - 11):.1f} 90L{100 + s * (w - 14):.1f} 128L{100 + s * (w - 3):.1f} 134Z" fill="{tone}"/>'
            for s in (-1, 1)
        ]
    return "".join(parts)


def hat(portrait: Portrait, face: Face) -> str:
    """A beanie or a hat with a brim, above the brows."""
    if not portrait.attributes["Wearing_Hat"]:
        return ""
    scene = portrait.scene
    tone = hue((scene.clothes + 0.33) % 1, 0.6, 0.45 + 0.4 * scene.makeup)
    half, y = face.half_width + 9, 66.0
    crown = f"M{100 - half:.1f} {y}C{100 - half:.1f} 0 {100 + half:.1f} 0 {100 + half:.1f} {y}Z"
    band = along(("#f4efe2", "#2a2a33", "#e8b23a"), scene.accessory)
    if scene.accessory < 0.5:
        brim = f'<rect x="{100 - half - 3:.1f}" y="{y - 9}" width="{2 * half + 6:.1f}" height="17" rx="8" fill="{lighter(tone, 0.25)}"/>'
    else:
        brim = (
            f'<rect x="{100 - half:.1f}" y="{y - 16}" width="{2 * half:.1f}" height="11" fill="{band}"/>'
            f'<ellipse cx="100" cy="{y}" rx="{half + 20:.1f}" ry="9" fill="{darker(tone, 0.2)}"/>'
        )
    return f'<path d="{crown}" fill="{tone}"/>{brim}'
