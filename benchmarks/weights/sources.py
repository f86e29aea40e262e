"""Read a file from a web server, a folder or a zip archive, piece by piece.

Nothing that comes is trusted: its size is bounded, and the caller checks its SHA-256.
"""

import base64
import zipfile
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import Request, build_opener

from diffae import __version__
from diffae.data.readers.zip_archive import READING_ERRORS
from diffae.system.errors import UserError, reason, words
from diffae.system.files import amount, file_size

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
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _find_member(archive, member) is not None
    except READING_ERRORS:
        return False


def _find_member(archive: zipfile.ZipFile, member: str) -> str | None:
    return next((n for n in archive.namelist() if f"/{n}".endswith(f"/{member}")), None)
