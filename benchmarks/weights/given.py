"""Files of weights that a person already has, in any form in which they are published.

A file is recognised by its SHA-256, not by its name.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.weights.fetch import Fetching, at_most, keep
from benchmarks.weights.files import ROUNDING, sha256
from benchmarks.weights.known import KNOWN, Distribution, Url, Weight, WeightFile
from benchmarks.weights.sources import SourceError, converted, has_member, read, read_member
from diffae.system.errors import UserError
from diffae.system.files import file_size

# A file that holds one of a network: its path, the entry of the table, and its content, yet to be verified.
Given = tuple[Path, WeightFile, Iterable[bytes]]


def candidates(path: Path) -> list[Path]:
    """The file, or those files right in the folder that may hold weights.

    Raises UserError if there is neither.
    """
    if not path.is_dir():
        file_size(path)
        return [path]
    files = (file for file in path.iterdir() if file.is_file() and os.access(file, os.R_OK))
    return sorted(filter(_may_hold, files))


def _may_hold(path: Path) -> bool:
    """Whether a file is worth hashing: by its size, or as an archive."""
    found = path.stat().st_size
    return any(abs(found - size) <= ROUNDING for size in _sizes()) or any(
        isinstance(source, Url) and source.member and has_member(path, source.member)
        for source in _sources()
    )


def largest() -> float:
    """Bytes that no file of the table exceeds: a larger one is not hashed."""
    return max(_sizes()) + ROUNDING


def _sources() -> list[Url | Distribution]:
    return [source for weight in KNOWN.values() for file in weight.files for source in file.sources]


def _sizes() -> list[float]:
    """Bytes of every file and distribution of the table."""
    files = [file.size_mb for weight in KNOWN.values() for file in weight.files]
    archives = [source.size_mb for source in _sources() if isinstance(source, Distribution)]
    return [1e6 * size for size in (*files, *archives)]


def held(paths: Iterable[Path], weight: Weight) -> list[Given]:
    """What these files hold of a network, its preferred file first."""
    found = [given for path in paths for given in _held(path, weight)]
    return sorted(found, key=lambda given: weight.files.index(given[1]))


def _held(path: Path, weight: Weight) -> Iterator[Given]:
    digest = sha256(path) if path.stat().st_size <= largest() else ""
    for file in weight.verifiable:
        if digest == file.sha256:
            yield path, file, read(path, at_most(file))
        for source in file.sources:
            match source:
                case Distribution() if digest in (source.sha256, source.member_sha256):
                    yield path, file, converted(path, source)
                case Url() if source.member and has_member(path, source.member):
                    yield path, file, read_member(path, source.member, at_most(file))


def take(fetching: Fetching, weight: Weight, paths: Sequence[Path]) -> Path:
    """Copy or convert the first file of `weight` among `paths`, and return its path.

    Raises UserError if there is none.
    """
    tried = []
    for path, file, pieces in held(paths, weight):
        try:
            return keep(fetching.target(file), file, pieces)
        except SourceError as error:
            tried.append(f"{path}: {error}")
    raise UserError(f"{weight.name} is not in --from: {'; '.join(tried) or 'no file of it'}")
