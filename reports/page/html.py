"""The page as HTML: one template with autoescape, inlined styles and script, and a strict policy.

The content security policy allows only the inlined style sheet and script.
"""

import base64
import hashlib
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from reports.page import head, view
from reports.page.first_screen import first_screen
from reports.page.pictures import pictures_of
from reports.records.reading import Fields
from reports.tables.build import Merged
from reports.tables.make_files import heading

HERE = Path(__file__).parent
FILES = ("records.csv", "samples.csv", "times.csv", "run.json", "tables/overview.md")
NUMBER = re.compile(r"((?:\bn = )?-?\d[\d.,]*(?:e[-+]\d+)?(?: ± \d[\d.]*(?:e[-+]\d+)?)?(?!\w))")


def render(merged: Merged, beside: Path) -> str:
    """The page of `merged` as text; links to the run's files are relative to the folder `beside`."""
    numbers: view.Numbers = {}
    pictures, left_out = pictures_of(merged)
    first = first_screen(merged, numbers, pictures)
    sections = view.sections_of(merged, numbers, pictures)
    placed = {shown["figure"].id for section in sections for shown in section["figures"]}
    return filled(
        "page.html.j2",
        source("page.js"),
        title=heading(merged)[0],
        lede=head.lede(merged),
        facts=head.facts(merged).items(),
        remarks=merged.remarks,
        failures=head.failures(merged),
        first=first,
        guide=view.reading_guide(sections),
        sections=sections,
        other_figures=[figure for figure in pictures if figure.id not in placed],
        left_out=left_out,
        data=embedded(view.dialogs(numbers, merged.metrics, merged.protocols)),
        links=_links(merged, beside),
    )


def filled(template: str, script: str, **content: Any) -> str:
    """A self-contained page from one of the templates."""
    styles = source("page.css")
    inlined = {"styles": Markup(styles), "script": Markup(script), "policy": policy(styles, script)}
    return _templates().get_template(template).render(**inlined, **content)


@cache
def _templates() -> Environment:
    """Each is compiled at its first use in a process."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined
    )
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters["unbroken"] = _unbroken
    return environment


def policy(styles: str, script: str) -> str:
    """The content security policy: nothing is fetched, and only this style sheet and this script
    are allowed.
    """
    own = f"style-src '{_digest(styles)}'; script-src '{_digest(script)}'"
    return f"default-src 'none'; img-src data:; {own}; base-uri 'none'; form-action 'none'"


def embedded(content: Fields) -> Markup:
    """`content` as JSON for a script element, escaped so that no text in it can end the element."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _unbroken(text: str) -> Markup:
    """`text` with line breaks prevented within numbers and before their errors."""
    return Markup("").join(
        Markup('<span class="one">{}</span>').format(part) if i % 2 else part
        for i, part in enumerate(NUMBER.split(text))
    )


def source(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _links(merged: Merged, beside: Path) -> list[str]:
    """The run's files next to the page; none of several runs."""
    if len(merged.folders) > 1 or merged.folders[0].folder.resolve() != beside.resolve():
        return []
    return [name for name in FILES if (beside / name).exists()]
