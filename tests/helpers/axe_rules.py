"""What axe-core finds on a page: roles, names, order of headings, contrast."""

from pathlib import Path

import pytest


def violations(page) -> list[tuple[str, str]]:
    """The rules that a page of Playwright breaks, each with the first element that does.

    The page's context must bypass its content security policy.
    """
    axe = pytest.importorskip("axe_playwright_python")
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=str(Path(axe.__file__).parent / "axe.min.js"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [(rule["id"], rule["nodes"][0]["html"]) for rule in found]
