"""A hash of all that decides the pixels of portraits, by which tests name the folder of those they have drawn."""

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "diffae" / "data" / "portraits"
RASTERISERS = ("resvg_py", "pillow", "numpy")


def drawing(sources: Path = SOURCES, version_of: Callable[[str], str] = version) -> str:
    """Of the modules that draw, and of the versions of the packages that make pixels of a drawing."""
    parts = [f"{name} {version_of(name)}".encode() for name in RASTERISERS]
    for path in sorted(sources.rglob("*.py")):
        parts += [path.name.encode(), path.read_bytes()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
