"""The source of a plug-in, as part of its fingerprint: a system whose code changed is another system.

Our own systems need none, their results are filed under the version of this package.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

# Packages with versions and maintainers of their own: what a base class of theirs does is not looked at.
ELSEWHERE = {"benchmarks", "diffae", "probes", "reports", "torch", "builtins", "abc", "typing"}


def source_digest(system: type) -> str:
    """What to append to a fingerprint: "" for a system of ours, else "-source-" and a digest.

    It covers the file of the class; where that is in a package, all Python files of the package (its networks
    will be there); and the files of its base classes. What these import from elsewhere is not seen.
    """
    if system.__module__.partition(".")[0] in ELSEWHERE:
        return ""
    digest, files = hashlib.sha256(), list(_files(system))
    for root, path in sorted(set(files)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return f"-source-{digest.hexdigest()[:16]}" if files else ""


def _files(system: type) -> Iterator[tuple[Path, Path]]:
    """The files behind a class and its bases, each with the folder that its name is told relative to."""
    own = system.__module__.partition(".")[0]
    for base in system.__mro__:
        name = base.__module__.partition(".")[0]
        if name in ELSEWHERE:
            continue
        package = _file(name) if name == own else None
        if package is not None and package.name == "__init__.py":
            yield from ((package.parents[1], path) for path in package.parent.rglob("*.py"))
        elif (path := _file(base.__module__)) is not None:
            yield path.parent, path


def _file(module: str) -> Path | None:
    """The file of a module that has been imported, if it has one."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path) if path and Path(path).is_file() else None
