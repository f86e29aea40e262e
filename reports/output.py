"""A folder of files that is made whole or not at all, and made again; what others put there stays.

    with made_whole(out, notes) as folder:      files are written into `folder`, beside `out`, which becomes `out` at the end

`made.json` in it has the SHA-256 of each file that was made: so it is known what may be replaced.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reports.reading import Refused, read_json
from reports.writing import write_whole

MARK = "made.json"
NAME = re.compile(r"(\w[\w.-]{0,60}/)?\w[\w.-]{0,200}", re.ASCII)  # of a file that is made


@contextlib.contextmanager
def made_whole(out: Path, notes: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write into; where the block ends well its files are those of `out`, else `out` is what it was.

    `notes` are kept in its made.json. Raises Refused before the block if `out` is anybody else's, or a file of it was
    changed by hand.
    """
    before = _made_before(out)
    parents = [path for path in out.absolute().parents if not path.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".partial", dir=out.parent))
    try:
        yield stage
        made = {path.relative_to(stage).as_posix(): _sha256(path) for path in _files(stage)}
        _check_free(out, made, before)
        _mark(stage, notes, made)
        _put_in_place(stage, out, notes, made, before)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for path in parents:  # the nearest first: those that are still empty were made for nothing
            with contextlib.suppress(OSError):
                path.rmdir()


def _made_before(out: Path) -> dict[str, str]:
    """The files that an earlier call made in `out`, with their SHA-256."""
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return {}
    if not out.is_dir() or not (out / MARK).is_file():
        raise Refused(f"--out {out}: exists, and was not made by this command; choose another")
    files = read_json(out / MARK).get("files")
    if not isinstance(files, dict) or not all(map(NAME.fullmatch, files)):
        raise Refused(f"{out / MARK}: damaged; choose another --out")
    for name, digests in files.items():
        path = out / name
        if os.path.lexists(path) and not _is_as_made(path, str(digests)):
            why = "changed since it was made; move it away or choose another --out"
            raise Refused(f"{path}: {why}")
    return {name: str(digests) for name, digests in files.items()}


def _is_as_made(path: Path, digests: str) -> bool:
    return path.is_file() and not path.is_symlink() and _sha256(path) in digests.split()


def _check_free(out: Path, made: Mapping[str, str], before: Mapping[str, str]) -> None:
    for name in made:
        if name not in before and os.path.lexists(out / name):
            raise Refused(f"{out / name}: was not made by this command; choose another --out")


def _put_in_place(
    stage: Path,
    out: Path,
    notes: Mapping[str, Any],
    made: Mapping[str, str],
    before: Mapping[str, str],
) -> None:
    """Where `out` has files of an earlier call, those are replaced one by one: a call that is killed between them leaves
    a made.json that knows both."""
    if not before:
        os.chmod(stage, 0o777 & ~_umask())
        os.rename(stage, out)  # in the place of an empty folder, too
        return
    both = {k: f"{before.get(k, '')} {made.get(k, '')}".strip() for k in {*before, *made}}
    _mark(out, notes, both)
    for name in made:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / name, out / name)
    for name in before.keys() - made.keys():
        (out / name).unlink(missing_ok=True)
    _mark(out, notes, made)


def _mark(folder: Path, notes: Mapping[str, Any], files: Mapping[str, str]) -> None:
    content = json.dumps({**notes, "files": files}, indent=1, sort_keys=True) + "\n"
    write_whole(folder / MARK, content.encode())


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
