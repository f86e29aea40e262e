"""Matplotlib's SVG adapted to the page.

Colours are classes, so that they follow light, dark and print; text stays text; there are no inline
styles, which the page's policy forbids; and ids are unique on the page.

Drawing uses placeholder colours (`INK`, `series(0)`, ...), each of which becomes a class here. Text
is taken literally: a `$` starts no formula.
"""

import io
import itertools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from reports.records.reading import for_xml

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE, PAPER = "#000001", "#000002", "#000003", "#000004"
CLASSES = {INK: "ink", SOFT: "soft", RULE: "rule", PAPER: "paper"}
FIRST = 0x10
CLASSES |= {f"#0000{FIRST + i:02x}": f"s{i}" for i in range(8)}
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")  # as in the template's key
DASHES = ("-", (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
SVG, LINK = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
WIDTH = 5.0  # inches, 72 units each
SETTINGS: dict[str, Any] = {  # beside Matplotlib's defaults
    "svg.fonttype": "none",
    "svg.hashsalt": "reports.page",
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.titlesize": 10.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "path.simplify": False,
}
_numbers = itertools.count()


def series(number: int) -> str:
    """The placeholder colour of a series."""
    return f"#0000{FIRST + number:02x}"


def draw(height: float, title: str, text: str, paint: Callable[["Figure"], None]) -> Markup:
    """Draw `paint` on a figure `height` inches high, as SVG with a title and a text alternative."""
    from matplotlib import style
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with style.context(["default", SETTINGS]):
        figure = Figure(figsize=(WIDTH, height))
        FigureCanvasSVG(figure)
        paint(figure)
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return _for_page(*map(for_xml, (buffer.getvalue(), title, text)))


def place(figure: "Figure", left: float, bottom: float = 0.52, top: float = 0.3) -> None:
    """Set margins in inches.

    Matplotlib's own layouts draw everything twice, with the widths of another font than the page's.
    """
    height = figure.get_figheight()
    figure.subplots_adjust(
        left=left / WIDTH, right=1 - 0.12 / WIDTH, bottom=bottom / height, top=1 - top / height
    )


def plain_axes(axes: "Axes", xlabel: str, ylabel: str) -> None:
    """Label the axes; the label of y is above the axis, where it reads from left to right."""
    axes.set_xlabel(xlabel)
    axes.set_title(ylabel, loc="left")
    axes.tick_params(length=3)


# ----------------------------------------------------------------------------------------------
# From Matplotlib's SVG to the page's


def _for_page(text: str, title: str, described: str) -> Markup:
    root = ElementTree.fromstring(text)
    prefix = f"g{next(_numbers)}-"
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style", f"{{{SVG}}}title"):
                parent.remove(child)
    used = set(re.findall(r"#([\w.-]+)", text))
    for element in root.iter():
        _without_style(element)
        _with_own_ids(element, prefix, used)
    _name(root, prefix, title, described)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    ElementTree.register_namespace("", SVG)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _without_style(element: ElementTree.Element) -> None:
    """Replace declarations by attributes and placeholder colours by classes; the font is the page's."""
    declared = {
        name.strip(): value.strip()
        for name, value in re.findall(r"([^:;]+):([^;]*)", element.attrib.pop("style", ""))
    }
    classes = []
    for name in ("fill", "stroke"):
        value = declared.get(name) or element.get(name, "")
        if value in CLASSES:
            classes.append(f"{name}-{CLASSES[value]}")
            declared.pop(name, None)
            element.attrib.pop(name, None)
    if classes:
        element.set("class", " ".join(classes))
    if size := re.search(r"[\d.]+px", declared.pop("font", "")):
        declared["font-size"] = size[0]
    declared.pop("font-family", None)
    for name, value in declared.items():
        element.set(name, value)


def _with_own_ids(element: ElementTree.Element, prefix: str, used: set[str]) -> None:
    """Keep only the ids that are referred to, each with the plot's prefix."""
    if (own := element.attrib.pop("id", None)) in used:
        element.set("id", f"{prefix}{own}")
    if link := element.attrib.pop(LINK, ""):
        element.set("href", f"#{prefix}{link[1:]}")
    for name, value in list(element.attrib.items()):
        if value.startswith("url(#"):
            element.set(name, f"url(#{prefix}{value[5:]}")


def _name(root: ElementTree.Element, prefix: str, title: str, described: str) -> None:
    for place, (name, text) in enumerate((("title", title), ("desc", described))):
        element = ElementTree.Element(f"{{{SVG}}}{name}", {"id": f"{prefix}{name}"})
        element.text = text
        root.insert(place, element)
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}title")
    root.set("aria-describedby", f"{prefix}desc")
