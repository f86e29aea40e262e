"""Fetch the weights of metric networks into `folder()`: verified before use, written whole.

    with opened() as fetching:
        path = fetching.fetch(KNOWN["alexnet"])

The sources of a network are tried in order, those of `MIRROR` first.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from benchmarks import weights
from benchmarks.weights import ROUNDING, Distribution, Found, Url, Weight, WeightFile, sources
from benchmarks.weights.sources import SourceError
from diffae.system import cli, progress
from diffae.system.errors import UserError, naming
from diffae.system.files import amount, file_size, lock_folder, writing
from diffae.system.whole import scratch_file, scratch_folder, sweep, whole_file

MIRROR = "DIFFAE_WEIGHTS_MIRROR"  # an address or a folder that holds the files of the table
ARCHIVE = 4  # an archive is at most this many times as large as the file in it

Source = Url | Distribution | Path


@dataclass
class Fetching:
    """The fetches of one command into `place`. A distribution is downloaded once."""

    place: Path
    stack: ExitStack
    downloaded: dict[str, Path] = field(default_factory=dict)

    def fetch(self, weight: Weight) -> Path:
        """Fetch the first file of `weight` that one of its sources gives, and return its path.

        Raises UserError, with every source and its reason, if there is none.
        """
        if not weight.verifiable:
            raise UserError(
                f"{weight.name} is never fetched: no published SHA-256 of it is known, by which to "
                f"verify it; it is {weight.published_at}"
            )
        tried = []
        for file, source in sources_of(weight):
            cli.say(f"{weight.name}: {_in_words(source)}")
            try:
                return self._fetch(file, source)
            except SourceError as error:
                tried.append(f"{_in_words(source)}: {error}")
        raise UserError(
            f"{weight.name} is not fetched: {'; '.join(tried) or 'it has no source'}; what you have "
            f"of it ({weight.published_at}) can be given by --from FILE"
        )

    def _fetch(self, file: WeightFile, source: Source) -> Path:
        target, most = self.target(file), at_most(file)
        match source:
            case Distribution():
                if source.sha256 not in self.downloaded:
                    folder = self.stack.enter_context(scratch_folder(self.place / "pip"))
                    self.downloaded[source.sha256] = sources.download_distribution(source, folder)
                pieces = sources.converted(self.downloaded[source.sha256], source)
            case Path():
                pieces = sources.read(source, most)
            case Url(member=""):
                pieces = sources.download(source.address, most)
                total = file.size_mb * 1e6
                pieces = progress.shown(pieces, file.filename, progress.BYTES, total, len)
            case Url():
                archive = self.stack.enter_context(scratch_file(target.with_suffix(".zip")))
                name = source.address.rpartition("/")[2]
                body = sources.download(source.address, ARCHIVE * most)
                write(archive, progress.shown(body, name, progress.BYTES, None, len))
                pieces = sources.read_member(archive, source.member, most)
        return keep(target, file, pieces)

    def target(self, file: WeightFile) -> Path:
        """The path of a file, whose folder is made. Raises UserError if a different file is there."""
        path = self.place / file.filename
        path.parent.mkdir(exist_ok=True)
        if path.exists() and not Found(path, file).is_published:
            raise UserError(f"{path}: not the published file; move it away, then fetch again")
        return path


@contextmanager
def opened() -> Iterator[Fetching]:
    """Make `folder()`, lock it, and remove what a killed fetch has left there.

    Raises UserError if another process fetches, or if the disk takes no more.
    """
    place = weights.folder()
    with writing(place, "or set DIFFAE_CACHE to another folder"), ExitStack() as stack:
        place.mkdir(parents=True, exist_ok=True)
        stack.enter_context(lock_folder(place, "fetching weights"))
        sweep(place.rglob("*"))
        yield Fetching(place, stack)


def sources_of(weight: Weight) -> Iterator[tuple[WeightFile, Source]]:
    """Where its files can come from, in the order in which they are tried."""
    if mirror := os.environ.get(MIRROR):
        yield from ((file, _in_mirror(mirror, file.filename)) for file in weight.verifiable)
    yield from ((file, source) for file in weight.verifiable for source in file.sources)


def _in_mirror(mirror: str, filename: str) -> Source:
    with naming(f"{MIRROR} {mirror}: not an address", ValueError):
        parts = urlsplit(mirror)
    if parts.scheme in ("http", "https"):
        return Url(f"{mirror.rstrip('/')}/{filename}")
    path = url2pathname(parts.path) if parts.scheme == "file" else mirror
    return Path(path) / filename


def _in_words(source: Source) -> str:
    match source:
        case Url():
            return sources.without_user(source.address)
        case Distribution():
            return f"{source.requirement} by pip ({source.size_mb} MB)"
    return str(source)


def at_most(file: WeightFile) -> int:
    """The most bytes that are read of a file."""
    return round(file.size_mb * 1e6 + ROUNDING)


def write(partial: Path, pieces: Iterable[bytes]) -> str:
    """Write `pieces` to a partial file of `diffae.system.whole`, and return their SHA-256.

    Raises SourceError if they are a web page.
    """
    digest = hashlib.sha256()
    with open(partial, "w+b") as file:
        for piece in pieces:
            file.write(piece)
            digest.update(piece)
        file.seek(0)
        if file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise SourceError("a web page in place of the file; does it ask for a login?")
    return digest.hexdigest()


def keep(target: Path, file: WeightFile, pieces: Iterable[bytes]) -> Path:
    """Write `pieces` to `target`, which is returned. Raises SourceError if they are not the published file."""
    with whole_file(target) as path:
        found, size = write(path, pieces), path.stat().st_size
        if abs(size - file.size_mb * 1e6) > ROUNDING:
            raise SourceError(f"{amount(size)} in place of {file.size_mb} MB")
        if found != file.sha256:
            raise SourceError(f"a different file, of SHA-256 {found}")
    return target


# ----------------------------------------------------------------------------------------------
# Files of weights that a person already has, in any form in which they are published. A file is recognised by its SHA-256,
# not by its name

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
        isinstance(source, Url) and source.member and sources.has_member(path, source.member)
        for source in _sources()
    )


def largest() -> float:
    """Bytes that no file of the table exceeds: a larger one is not hashed."""
    return max(_sizes()) + ROUNDING


def _sources() -> list[Url | Distribution]:
    return [source for file in weights.files() for source in file.sources]


def _sizes() -> list[float]:
    """Bytes of every file and distribution of the table."""
    files = [file.size_mb for file in weights.files()]
    archives = [source.size_mb for source in _sources() if isinstance(source, Distribution)]
    return [1e6 * size for size in (*files, *archives)]


def held(paths: Iterable[Path], weight: Weight) -> list[Given]:
    """What these files hold of a network, its preferred file first."""
    found = [given for path in paths for given in _held(path, weight)]
    return sorted(found, key=lambda given: weight.files.index(given[1]))


def _held(path: Path, weight: Weight) -> Iterator[Given]:
    digest = weights.sha256(path) if path.stat().st_size <= largest() else ""
    for file in weight.verifiable:
        if digest == file.sha256:
            yield path, file, sources.read(path, at_most(file))
        for source in file.sources:
            match source:
                case Distribution() if digest in (source.sha256, source.member_sha256):
                    yield path, file, sources.converted(path, source)
                case Url() if source.member and sources.has_member(path, source.member):
                    yield path, file, sources.read_member(path, source.member, at_most(file))


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
