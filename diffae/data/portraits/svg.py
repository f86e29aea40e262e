"""Elements of SVG as text. Coordinates have one decimal."""

from collections.abc import Callable

Part = str | float  # of a path: a command, or a whole path, or a coordinate


def path(*parts: Part, fill: str = "none", **style: object) -> str:
    return f'<path d="{curve(*parts)}" fill="{fill}"{_styled(style)}/>'


def curve(*parts: Part) -> str:
    """The data of a path: `curve("M", 10, 20, "h", 5)`."""
    return " ".join(part if isinstance(part, str) else f"{part:.1f}" for part in parts)


def ellipse(x: float, y: float, rx: float, ry: float, fill: str, **style: object) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}"'
    return f'<ellipse {place} fill="{fill}"{_styled(style)}/>'


def circle(x: float, y: float, r: float, fill: str, **style: object) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}"{_styled(style)}/>'


def rect(x: float, y: float, width: float, height: float, fill: str, **style: object) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{fill}"{_styled(style)}/>'


def both(draw: Callable[[int], str]) -> str:
    """What `draw` gives for the left side, -1, and for the right one, 1."""
    return draw(-1) + draw(1)


def _styled(style: dict[str, object]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
