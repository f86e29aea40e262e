"""An output folder that is written whole or not at all, and can be replaced.

Files of others in it stay.

    with made_whole(out, COMMAND) as folder:      files are written into `folder`, beside `out`, which becomes `out` at the end

Its `made.json` has the command that made it and the SHA-256 of each file, which say what may be replaced.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from diffae.system.errors import UserError
from diffae.system.files import read_json
from diffae.system.whole import scratch_folder, write_whole

MARK = "made.json"
NAME = re.compile(r"(\w[\w.-]{0,60}/)?\w[\w.-]{0,200}", re.ASCII)  # of a file that is made


@contextlib.contextmanager
def made_whole(out: Path, command: str, flag: str = "--out") -> Iterator[Path]:
    """A folder to write into; `flag` is the one that names it.

    If the block succeeds, its files replace those of `out`, else `out` is unchanged.

    Raises UserError before the block if `out` was not made by this function for the same `command`,
    or if a file of it was changed by hand.
    """
    before = made_before(out, command, flag)
    with scratch_folder(out) as stage:
        yield stage
        files = sorted(path for path in stage.rglob("*") if path.is_file())
        made = {path.relative_to(stage).as_posix(): _sha256(path) for path in files}
        for name in made.keys() - before.keys():
            if os.path.lexists(out / name):
                raise UserError(
                    f"{out / name}: was not made by this command; choose another {flag}"
                )
        _mark(stage, made, command)
        if not before:
            stage.replace(os.path.realpath(out))
            return
        # Files of an earlier call are replaced one by one: a call that is killed between them leaves
        # a made.json that knows both.
        both = {k: f"{before.get(k, '')} {made.get(k, '')}".strip() for k in {*before, *made}}
        _mark(out, both, command)
        for name in made:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).replace(out / name)
        for name in before.keys() - made.keys():
            (out / name).unlink(missing_ok=True)
        _mark(out, made, command)


def made_before(out: Path, command: str, flag: str = "--out") -> dict[str, str]:
    """The files that an earlier call made in `out`, with their SHA-256.

    Raises UserError as `made_whole` does.
    """
    if not os.path.lexists(out) or (out.is_dir() and not any(out.iterdir())):
        return {}
    if not out.is_dir() or not (out / MARK).is_file():
        raise UserError(f"{flag} {out}: exists, and was not made by this command; choose another")
    mark = read_json(out / MARK)
    files = mark.get("files")
    if mark.get("made_by") != command:
        raise UserError(f"{flag} {out}: was made by another command; choose another")
    if not isinstance(files, dict) or not all(map(NAME.fullmatch, files)):
        raise UserError(f"{out / MARK}: damaged; choose another {flag}")
    for name, digests in files.items():
        path = out / name
        as_made = path.is_file() and not path.is_symlink() and _sha256(path) in str(digests).split()
        if os.path.lexists(path) and not as_made:
            why = f"changed since it was made; move it away or choose another {flag}"
            raise UserError(f"{path}: {why}")
    return {name: str(digests) for name, digests in files.items()}


def _mark(folder: Path, files: Mapping[str, str], command: str) -> None:
    content = json.dumps({"made_by": command, "files": files}, indent=1, sort_keys=True)
    write_whole(folder / MARK, f"{content}\n".encode())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
