"""A baseline as a single file: the three files of a run folder that the gate reads, in a zip."""

import io
import zipfile
import zlib
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.whole import copy_whole, write_whole
from reports.records.reading import short

BASELINE_FILES = ("records.csv", "run.json", "influences.npz")
LARGEST = 256 << 20  # bytes of one file


def unpack(content: bytes, folder: Path) -> Path:
    """Extract only the BASELINE_FILES files of a zip to the new `folder`. Raises UserError if it contains no run."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = set(archive.namelist())
            found = {name: _read(archive, name) for name in BASELINE_FILES if name in names}
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        raise UserError(f"the baseline's artifact is not a zip: {short(error)}") from None
    if missing := [name for name in BASELINE_FILES[:2] if name not in found]:
        raise UserError(
            f"the baseline's artifact has no {' and no '.join(missing)}; is it the artifact of a different workflow?"
        )
    folder.mkdir()
    for name, data in found.items():
        write_whole(folder / name, data)
    return folder


def copy_baseline(run: Path, folder: Path) -> Path:
    """Copy the files of `run` that make a baseline to a new `folder`."""
    folder.mkdir()
    for name in BASELINE_FILES:
        if (run / name).is_file():
            copy_whole(run / name, folder / name)
    return folder


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read a member of a zip, at most LARGEST bytes: the size that the zip declares is not trusted."""
    with archive.open(name) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise UserError(f"the baseline's artifact: {name} has more than {LARGEST:,} bytes")
    return data
