"""Hair behind and in front of the face, beards, and hats."""

from diffae.data.portraits.attributes import Portrait
from diffae.data.portraits.geometry import FaceGeometry
from diffae.data.portraits.palette import along, darker, hair, hue, lighter
from diffae.data.portraits.svg import both, circle, curve, ellipse, path, rect


def back_hair(portrait: Portrait, face: FaceGeometry) -> str:
    """The hair behind the head: only women have it, with a straight, wavy or round edge."""
    a, look = portrait.attributes, portrait.look
    if a["Male"] or a["Bald"]:
        return ""
    half = face.half_width + 11 + 7 * look.hair_volume
    end = 150 + 40 * look.hair_length
    tone = darker(hair(portrait), 0.18)
    left, right = 100 - half, 100 + half
    top = curve("M", left, 96, "C", left, 14, right, 14, right, 96)
    if a["Wavy_Hair"]:
        down, up = _waves(right, 96, end, 1), _waves(left, end, 96, -1)
        return path(top, down, "L", left, end, up, "Z", fill=tone)
    if a["Straight_Hair"]:
        xs = (left + 5, left + 11, right - 11, right - 5)
        strands = [curve("M", x, 96, "V", end - 2) for x in xs]
        shape = path(top, "L", right + 3, end, "H", left - 3, "Z", fill=tone)
        return shape + path(*strands, stroke=lighter(hair(portrait), 0.3), stroke_width=2)
    round_right = curve("C", right, end + 10, right - 14, end + 8, 118, end - 6)
    round_left = curve("C", left + 14, end + 8, left, end + 10, left, 96)
    return path(top, round_right, "H 82", round_left, "Z", fill=tone)


def _waves(x: float, start: float, end: float, side: int) -> str:
    """A scalloped edge from `start` to `end` at `x`."""
    count = max(round(abs(end - start) / 16), 2)
    step = (end - start) / count
    heights = [(start + step * (i + 0.5), start + step * (i + 1)) for i in range(count)]
    return " ".join(curve("Q", x + side * 15, middle, x, to) for middle, to in heights)


def front_hair(portrait: Portrait, face: FaceGeometry) -> str:
    """The hair on the skull, with the hairline and a fringe."""
    a, look = portrait.attributes, portrait.look
    if a["Bald"]:
        return ellipse(face.x - 12, 52, 14, 8, "#fff", opacity=0.5)
    tone = hair(portrait)
    half = face.half_width + 3 + 3 * look.hair_volume
    crown = face.top - 7 - 8 * look.hair_volume
    line = 64.0 if not a["Receding_Hairline"] else 42.0
    side = 104 if a["Male"] else 112
    left, right, far, near = 100 - half, 100 + half, half + 4, half * 0.6
    cap = curve("M", left, side, "C", 100 - far, crown + 8, 100 - near, crown, 100, crown)
    cap = curve(cap, "C", 100 + near, crown, 100 + far, crown + 8, right, side)
    drawn = path(cap, _hairline(portrait, face, line), "Z", fill=tone)
    if a["Wavy_Hair"]:
        drawn += _curls(half, crown, tone)
    if a["Straight_Hair"]:
        drawn += _combed(crown, line, tone)
    if a["Bangs"]:
        drawn += _bangs(face, half, tone)
    return drawn


def _hairline(portrait: Portrait, face: FaceGeometry, y: float) -> str:
    """The edge of the hair above the forehead, from the right temple to the left."""
    inner = face.half_width - 3
    left, right = 100 - inner, 100 + inner
    if portrait.attributes["Receding_Hairline"]:  # bare temples around a lock in the middle
        lock = curve("Q", right - 2, y - 2, 118, y - 4, "Q", 100, y + 10, 82, y - 4)
        return curve("L", right, 92, lock, "Q", left + 2, y - 2, left, 92)
    part = 100 + 30 * (portrait.look.parting - 0.5)
    return curve("L", right, 94, "Q", right - 4, y + 4, part, y, "Q", left + 4, y + 4, left, 94)


def _curls(half: float, crown: float, tone: str) -> str:
    """Bumps along the crown."""
    right = [(0.38, 33), (0.72, 44), (0.92, 62), (1.0, 82)]
    places = [*((-x, y) for x, y in right[::-1]), (0.0, 29), *right]
    bumps = [circle(100 + half * x, y + crown - 20, 12, tone) for x, y in places]
    marks = [
        curve("M", 100 + half * x * 0.86 - 6, y + crown - 14, "q 6 -8 12 0")
        for x, y in places[1:-1]
    ]
    return "".join(bumps) + path(*marks, stroke=lighter(tone, 0.22), stroke_width=2.4)


def _combed(crown: float, line: float, tone: str) -> str:
    """Straight strands on the crown."""
    top, end = crown + 5, line - 4
    strands = [
        curve("M", 100 + dx * 0.72, top + abs(dx) * 0.3, "L", 100 + dx, end + abs(dx) * 0.4)
        for dx in (-34, -20, -7, 7, 20, 34)
    ]
    return path(*strands, stroke=lighter(tone, 0.32), stroke_width=2.6)


def _bangs(face: FaceGeometry, half: float, tone: str) -> str:
    """A fringe down to the brows."""
    y, w = face.brow_y - 1, half - 5
    right = 100 + w
    teeth = [
        curve("Q", right - (i + 0.5) * w / 3, y + 10, right - (i + 1) * w / 3, y - 3)
        for i in range(6)
    ]
    top = curve("M", 100 - w, y, "C", 100 - w, 44, right, 44, right, y)
    return path(top, *teeth, "Z", fill=darker(tone, 0.1))


def facial_hair(portrait: Portrait, face: FaceGeometry) -> str:
    """A beard along the jaw, with goatee, moustache and sideburns; nothing with No_Beard."""
    a = portrait.attributes
    if a["No_Beard"]:
        return ""
    tone = darker(hair(portrait), 0.25)
    j, w, x = face.half_jaw, face.half_width, face.x
    jaw, chin, mouth = face.jaw_y, face.chin, face.mouth_y
    left, right, ears = 101 - w, 99 + w, jaw - 24
    outer = curve("M", left, ears, "Q", 98 - j, jaw + 2, 100 - j * 0.6, chin - 4)
    outer = curve(outer, "Q", 100, chin + 7, 100 + j * 0.6, chin - 4)
    outer = curve(outer, "Q", 102 + j, jaw + 2, right, ears)
    inner = curve("Q", 92 + j, jaw + 4, 100, chin - 7, "Q", 108 - j, jaw + 4, left, ears)
    drawn = path(outer, inner, "Z", fill=tone)
    if a["Goatee"]:
        top = mouth + 8
        shape = curve("M", x - 13, top, "H", x + 13, "Q", x + 12, chin + 12, x, chin + 17)
        drawn += path(shape, "Q", x - 12, chin + 12, x - 13, top, "Z", fill=tone)
    if a["Mustache"]:
        y = (face.nose_y + mouth) / 2 + 1
        shape = curve("M", x, y - 4, "Q", x + 12, y - 7, x + 22, y + 7, "Q", x + 8, y + 6, x, y + 2)
        shape = curve(shape, "Q", x - 8, y + 6, x - 22, y + 7, "Q", x - 12, y - 7, x, y - 4)
        drawn += path(shape, "Z", fill=tone)
    if a["Sideburns"]:
        corners = ((w + 1, 88), (w - 11, 90), (w - 14, 128), (w - 3, 134))

        def sideburn(side: int) -> str:
            points = [curve(100 + side * x, y) for x, y in corners]
            return path("M", " L ".join(points), "Z", fill=tone)

        drawn += both(sideburn)
    return drawn


def hat(portrait: Portrait, face: FaceGeometry) -> str:
    """A beanie or a hat with a brim, above the brows."""
    scene = portrait.scene
    tone = hue((scene.clothes + 0.33) % 1, 0.6, 0.45 + 0.4 * scene.makeup)
    half, y = face.half_width + 9, 66.0
    left, right = 100 - half, 100 + half
    crown = path("M", left, y, "C", left, 0, right, 0, right, y, "Z", fill=tone)
    if scene.accessory < 0.5:
        return crown + rect(left - 3, y - 9, 2 * half + 6, 17, lighter(tone, 0.25), rx=8)
    band = along(("#f4efe2", "#2a2a33", "#e8b23a"), scene.accessory)
    brim = ellipse(100, y, half + 20, 9, darker(tone, 0.2))
    return crown + rect(left, y - 16, 2 * half, 11, band) + brim
