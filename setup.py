"""Build steps beyond pyproject.toml: pages and examples are packaged, and README's links work elsewhere."""

import re
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def beside_the_packages() -> list[Path]:
    """What goes into benchmarks/ too: the pages of `diffae-bench docs` with their order, and examples."""
    files = [
        ROOT / "README.md",
        ROOT / "mkdocs.yml",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*"),
    ]
    hidden = {"__pycache__", "build"}  # what Python and pip leave beside an example
    return sorted(
        file
        for file in (path.relative_to(ROOT) for path in files if path.is_file())
        if not any(part in hidden or part.endswith(".egg-info") for part in file.parts)
    )


class WithPages(build_py):
    """Build the packages, with the pages and examples in benchmarks/ at the places they have here."""

    def run(self) -> None:
        super().run()
        for file in [] if self.editable_mode else beside_the_packages():
            copy = Path(self.build_lib, "benchmarks", file)
            copy.parent.mkdir(parents=True, exist_ok=True)
            self.copy_file(str(ROOT / file), str(copy))


def description(text: str, address: str | None) -> str:
    """README for use elsewhere: relative links become those of the repository at `address`, or
    plain text without one.
    """

    def absolute(link: re.Match[str]) -> str:
        picture, words, target = link.groups()
        if address is None:
            return words
        return f"{picture}[{words}]({address.rstrip('/')}/{'raw' if picture else 'blob'}/HEAD/{target})"

    if address is None:
        text = re.sub(r"^!\[.*\n\n(\*[^*]+\*\n\n)?", "", text, flags=re.M)  # a picture, its caption
    return re.sub(r"(!?)\[([^]]*)\]\((?!\w+:|#)([^)]+)\)", absolute, text)


project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
setup(
    long_description=description(
        (ROOT / "README.md").read_text(encoding="utf-8"), project.get("urls", {}).get("Repository")
    ),
    long_description_content_type="text/markdown",
    cmdclass={"build_py": WithPages},
)
