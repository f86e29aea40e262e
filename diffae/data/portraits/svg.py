"""Elements of SVG as text. Coordinates have one decimal place."""

from collections.abc import Callable, Mapping

PathPart = str | float  # a command, the data of a path, or a coordinate
Style = str | float


def path(*parts: PathPart, fill: str = "none", **style: Style) -> str:
    return f'<path d="{curve(*parts)}" fill="{fill}"{_styled(style)}/>'


def curve(*parts: PathPart) -> str:
    """The data of a path: `curve("M", 10, 20, "h", 5)`."""
    return " ".join(part if isinstance(part, str) else f"{part:.1f}" for part in parts)


def ellipse(x: float, y: float, rx: float, ry: float, fill: str, **style: Style) -> str:
    place = f'cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}"'
    return f'<ellipse {place} fill="{fill}"{_styled(style)}/>'


def circle(x: float, y: float, r: float, fill: str, **style: Style) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}" fill="{fill}"{_styled(style)}/>'


def rect(x: float, y: float, width: float, height: float, fill: str, **style: Style) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{fill}"{_styled(style)}/>'


def both(draw: Callable[[int], str]) -> str:
    """Draw a part on the left side, -1, and on the right side, 1."""
    return draw(-1) + draw(1)


def _styled(style: Mapping[str, Style]) -> str:
    return "".join(f' {name.replace("_", "-")}="{value}"' for name, value in style.items())
