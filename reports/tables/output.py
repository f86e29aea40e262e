"""An output folder that is written whole or not at all, and can be replaced.

    with made_whole(out, COMMAND) as folder:      files are written into `folder`, beside `out`, which becomes `out` at the end

Its `made.json` has the command that made it and the SHA-256 of each file, which say what may be replaced.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.files import read_json, sha256
from diffae.system.whole import scratch_folder, write_whole
from reports.records.reading import part_of

MARK = "made.json"


@contextlib.contextmanager
def made_whole(out: Path, command: str, flag: str = "--out") -> Iterator[Path]:
    """A folder to write into; `flag` is the one that names it.

    If the block succeeds, it takes the place of `out`, else `out` is unchanged.

    Raises UserError before the block if something in `out` was not made by this function for the
    same `command`, or was changed by hand.
    """
    made_before(out, command, flag)
    with scratch_folder(out) as stage:
        yield stage
        made = {"made_by": command, "files": _digests(stage)}
        write_whole(stage / MARK, f"{json.dumps(made, indent=1, sort_keys=True)}\n".encode())
        target = Path(os.path.realpath(out))
        with scratch_folder(out) as replaced:  # it takes the place of an empty folder
            if target.is_dir():
                target.replace(replaced)
            stage.replace(target)


def made_before(out: Path, command: str, flag: str = "--out") -> None:
    """Raise UserError as `made_whole` does; all is well if there is nothing at `out`, or an empty folder."""
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or not (out / MARK).is_file():
        raise UserError(f"{flag} {out}: exists, and was not made by this command; choose another")
    mark = read_json(out / MARK)
    if mark.get("made_by") != command:
        raise UserError(f"{flag} {out}: was made by another command; choose another")
    made = part_of(mark, "files")
    for name, digest in _digests(out).items():
        if name != MARK and made.get(name) != digest:
            why = "was not made by this command, or was changed since"
            raise UserError(f"{out / name}: {why}; move it away or choose another {flag}")


def _digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): _sha256(path) for path in files}


def _sha256(path: Path) -> str:
    """The hash of a file; of a link or a pipe, which no command makes, nothing."""
    is_file = path.is_file() and not path.is_symlink()
    return sha256(path) if is_file else ""
