"""Draw the parts of the face and accessories, each with the attributes that are visible in it.

`draw` decides which of them are drawn only if the portrait has an attribute.
"""

from functools import partial

from diffae.data.portraits.attributes import Portrait
from diffae.data.portraits.geometry import FaceGeometry
from diffae.data.portraits.palette import IRIS, along, darker, hair, hue, lighter, lips, mix, skin
from diffae.data.portraits.svg import Style, both, circle, curve, ellipse, path, rect


def eyes(portrait: Portrait, face: FaceGeometry) -> str:
    return both(partial(_eye, portrait, face))


def _eye(portrait: Portrait, face: FaceGeometry, side: int) -> str:
    a, scene = portrait.attributes, portrait.scene
    x, y, rx, ry = face.x + side * face.eye_dx, face.eye_y, face.eye_rx, face.eye_ry
    iris_x = x + 2.2 * scene.gaze
    r = min(rx * 0.56, ry + 1.2)
    lid = "#20121a" if a["Heavy_Makeup"] else darker(skin(portrait), 0.62)
    eye = ""
    if a["Bags_Under_Eyes"]:
        bag = darker(mix(skin(portrait), "#5a3a70", 0.45), 0.25)
        eye += _crescent(x, y + ry + 2, rx, y + ry + 19, y + ry + 4, bag)
    if a["Heavy_Makeup"]:
        shade = along(("#7a3fa0", "#2f6fb5", "#1f8f8a"), scene.makeup)
        eye += ellipse(x, y - 4, rx + 4, ry + 5, shade, opacity=0.8)
    eye += ellipse(x, y, rx, ry, "#fffdf8")
    eye += circle(iris_x, y, r, along(IRIS, portrait.look.iris))
    eye += circle(iris_x, y, r * 0.5, "#120c10")
    eye += circle(iris_x + 1.6, y - 1.8, r * 0.32, "#fff")
    over = curve("M", x - rx - 1, y, "Q", x, y - ry * 2 - 0.6, x + rx + 1, y)
    eye += path(over, stroke=lid, stroke_width=3.6 if a["Heavy_Makeup"] else 2.2)
    return eye + _lashes(x, y, rx, ry, side, lid) if a["Attractive"] else eye


def _lashes(x: float, y: float, rx: float, ry: float, side: int, colour: str) -> str:
    """Lashes at the outer corner and, on one cheek, a beauty mark."""
    out = x + side * rx
    first = curve("M", out, y - 1, "l", side * 6, -4)
    second = curve("M", out - side * 2, y - ry * 0.6, "l", side * 5, -6)
    mark = circle(x + 3, y + 24, 2.4, "#3a1c18") if side > 0 else ""
    return path(first, second, stroke=colour, stroke_width=2.2) + mark


def brows(portrait: Portrait, face: FaceGeometry) -> str:
    a = portrait.attributes
    width = (8.5 if a["Bushy_Eyebrows"] else 2.8) + 1.2 * portrait.look.brow
    rise = 13 if a["Arched_Eyebrows"] else 2.5
    y = face.brow_y - (face.eye_ry - 4)

    def brow(side: int) -> str:
        x0, x1, peak = (face.x + side * (face.eye_dx + by) for by in (-10, 12, 4))
        return curve("M", x0, y + 1, "Q", peak, y - 2 * rise + 2, x1, y + 3)

    return path(both(brow), stroke=darker(hair(portrait), 0.35), stroke_width=round(width, 1))


def nose(portrait: Portrait, face: FaceGeometry) -> str:
    a, tone = portrait.attributes, skin(portrait)
    x, y, top = face.x + 0.5 * face.yaw, face.nose_y, face.eye_y + 4
    dark, light = darker(tone, 0.34), lighter(tone, 0.4)
    if a["Big_Nose"]:
        bridge = path("M", x - 4, top, "L", x - 7, y - 8, stroke=dark, stroke_width=2)
        tip = ellipse(x, y - 1, 17, 11.5, darker(tone, 0.22))
        shine = ellipse(x, y - 4, 7, 5, light, opacity=0.8)
        nostrils = both(lambda side: ellipse(x + side * 7, y + 4, 3.4, 2.4, darker(tone, 0.6)))
        return bridge + tip + shine + nostrils
    if a["Pointy_Nose"]:
        shape = curve("M", x - 3, top, "L", x - 10, y + 1, "L", x, y + 11, "L", x + 8, y, "Z")
        ridge = path("M", x - 1, top, "L", x, y + 9, stroke=light, stroke_width=4.5)
        return path(shape, fill=darker(tone, 0.42)) + ridge
    return path("M", x - 6, y - 1, "Q", x, y + 6, x + 6, y - 1, stroke=dark, stroke_width=2.6)


def mouth(portrait: Portrait, face: FaceGeometry) -> str:
    a, x = portrait.attributes, face.x
    half = face.mouth_half + 3 * a["Big_Lips"]
    bend = 9 if a["Smiling"] else -1.5
    lip = 9.5 if a["Big_Lips"] else 3.0
    gap = 10.5 if a["Mouth_Slightly_Open"] else 0.0
    y = face.mouth_y - bend * 0.5  # of the corners
    colour, middle = lips(portrait), y + bend * 2
    above, below = y + bend * 0.9 - lip * 2 - 1, middle + gap * 1.6 + lip * 2 + 1
    drawn = _crescent(x, y, half, above, below, colour)
    if gap:
        drawn += _crescent(x, y, half - 3, y + bend * 1.2, middle + gap * 1.6, "#4a1420")
        top = y + bend * 0.5 + 0.4  # of the teeth
        low = top + bend * 0.7
        drawn += _crescent(x, top, (half - 3) * 0.72, low, low + 7, "#fff")
    else:
        line = curve("M", x - half, y, "Q", x, middle, x + half, y)
        drawn += path(line, stroke=darker(colour, 0.55), stroke_width=2)
    return drawn + _dimples(portrait, x, y, half) if a["Smiling"] else drawn


def _crescent(x: float, y: float, half: float, above: float, below: float, fill: str) -> str:
    """The area between two curves that meet at x - half and x + half."""
    left, right = x - half, x + half
    return path("M", left, y, "Q", x, above, right, y, "Q", x, below, left, y, "Z", fill=fill)


def _dimples(portrait: Portrait, x: float, y: float, half: float) -> str:
    colour = darker(skin(portrait), 0.35)

    def dimple(side: int) -> str:
        line = curve("M", x + side * (half + 2), y - 5, "q", side * 5, 5, side * 1.5, 10)
        return path(line, stroke=colour, stroke_width=2)

    return both(dimple)


def shadow(portrait: Portrait, face: FaceGeometry) -> str:
    """A 5 o'clock shadow, which darkens cheeks, upper lip and jaw."""
    x, y = face.x, face.nose_y + 3
    tone = mix(darker(skin(portrait), 0.45), "#46505f", 0.5)
    left = curve("M", 40, y - 10, "Q", x - 26, y + 8, x - 12, y, "H", x + 12)
    return path(left, "Q", x + 26, y + 8, 160, y - 10, "V 190 H 40 Z", fill=tone, opacity=0.5)


def cheekbones(portrait: Portrait, face: FaceGeometry) -> str:
    tone = skin(portrait)
    hollow = darker(mix(tone, "#b0604a", 0.45), 0.25)

    def cheek(side: int) -> str:
        x, y = face.x + side * 29, face.eye_y + 18
        bone = ellipse(x, y - 1, 14, 6.5, lighter(tone, 0.55), opacity=0.9)
        parts = ellipse(x, y + 9, 16, 7, hollow, opacity=0.6) + bone
        return f'<g transform="rotate({-28 * side} {x:.1f} {y:.1f})">{parts}</g>'

    return both(cheek)


def rosy_cheeks(portrait: Portrait, face: FaceGeometry) -> str:
    x, y = face.x, face.eye_y + 24
    return both(lambda side: circle(x + side * 27, y, 11, "#f2405e", opacity=0.55))


def wrinkles(portrait: Portrait, face: FaceGeometry) -> str:
    """Wrinkles on the forehead, at the outer corners of the eyes, and from the nose to the mouth."""
    if portrait.attributes["Young"]:
        return ""
    x, y, eye_y = face.x, face.brow_y - 9, face.eye_y

    def cheek(side: int) -> str:
        eye = x + side * (face.eye_dx + face.eye_rx + 3)
        corner = [curve("M", eye, eye_y + d, "l", side * 8, d * 1.3) for d in (-3, 3)]
        fold = curve("M", x + side * 11, face.nose_y - 2, "q", side * 13, 8)
        return curve(*corner, fold, side * 11, face.mouth_y - face.nose_y + 7)

    forehead = [curve("M", x - 20, y - 7 * i, "q 20 -4 40 0") for i in (0, 1)]
    tone = darker(skin(portrait), 0.48)
    return path(*forehead, both(cheek), stroke=tone, stroke_width=3)


def double_chin(portrait: Portrait, face: FaceGeometry) -> str:
    tone, y, half = skin(portrait), face.chin, face.half_jaw
    line = curve("M", 100 - half * 0.8, y + 4, "Q", 100, y + 28, 100 + half * 0.8, y + 4)
    chin = ellipse(100, y - 2, half * 1.02, 20, darker(tone, 0.05))
    return chin + path(line, stroke=darker(tone, 0.5), stroke_width=4.5)


def glasses(portrait: Portrait, face: FaceGeometry) -> str:
    frame = along(("#15151a", "#5a2a18", "#20356a"), portrait.scene.accessory)
    x, y, dx = face.x, face.eye_y, face.eye_dx
    glass: dict[str, Style] = {"rx": 9, "fill_opacity": 0.35, "stroke": frame, "stroke_width": 4}

    def arm(side: int) -> str:
        end = 100 + side * (face.half_width + 3)
        return curve("M", x + side * (dx + 15), y - 3, "L", end, y - 5)

    lenses = both(lambda side: rect(x + side * dx - 15, y - 11, 30, 25, "#cfe6f5", **glass))
    bridge = curve("M", x - dx + 15, y - 2, "H", x + dx - 15)
    return lenses + path(bridge, both(arm), stroke=frame, stroke_width=4)


def earrings(portrait: Portrait, face: FaceGeometry) -> str:
    colour = along(("#ffd23f", "#3fe0ff", "#ff5fa8"), portrait.scene.accessory)
    edge: dict[str, Style] = {"stroke": "#fff", "stroke_width": 1.6}
    x = face.half_width + 2
    return both(lambda side: circle(100 + side * x, 125, 6.5, colour, **edge))


def necklace(portrait: Portrait, face: FaceGeometry) -> str:
    colour = along(("#ffe9a0", "#fff6f0", "#ffd23f"), portrait.scene.makeup)
    beads = [(-27, 170), (-20, 178), (-11, 184), (-1, 186), (9, 184), (18, 178), (25, 170)]
    edge: dict[str, Style] = {"stroke": "#8a6414", "stroke_width": 1}
    return "".join(circle(101 + x, y, 5.4, colour, **edge) for x, y in beads)


def necktie(portrait: Portrait, face: FaceGeometry) -> str:
    colour = hue((portrait.scene.clothes + 0.5) % 1, 0.85, 0.75)
    collar = path("M 66 174 L 100 190 L 134 174 L 146 232 H 54 Z", fill="#fbfaf7")
    tie = "M 89 175 H 111 L 106 187 L 117 232 H 83 L 94 187 Z"
    return collar + path(tie, fill=colour, stroke=darker(colour, 0.4), stroke_width=1.5)
