"""`training.json`: the record of a folder's training, for the reader, to resume, and to evaluate."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from diffae.checkpoints.trained_on import NOTE, TrainedOn
from diffae.system.errors import UserError
from diffae.system.files import foreign, lock_folder, read_json, writing
from diffae.system.whole import sweep, write_whole
from diffae.train.init import Init
from diffae.train.presets import differences
from diffae.train.types import Outcome


@dataclass(frozen=True)
class Note:
    """What decides the result of the training in `out`, and further information.

    The choice of stages is not part of it: a folder's stages may be trained one after the other.
    """

    out: Path
    trained_on: TrainedOn
    decides: dict[str, Any]
    overrides: list[str]  # as typed; what they change is in `decides`
    init: Init | None = None

    @property
    def path(self) -> Path:
        return self.out / NOTE

    @property
    def identity(self) -> str:
        """A hash of everything that decides the result (no descriptions, not the name of the data)."""
        begun = {} if self.init is None else {"init": self.init.decides}
        decides = {"trained_on": self.trained_on.decides, "settings": self.decides, **begun}
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    def claim(self) -> IO[str]:
        """Claim the folder for this training; it is locked while the file returned is open.

        Raises UserError if it holds something else, or if another process is training in it.
        """
        is_foreign = foreign(self.out)  # before the note is looked for, which may be written now
        if self._known() is None and is_foreign:
            raise UserError(f"{self.out}: exists and is no training folder; choose another --out")
        with writing(self.out, "or choose another --out"):
            self.out.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(self.out, "training")
            sweep(self.out.glob("*.partial"))
            if self._known() is None:  # a process that has ended meanwhile may have written it
                self._write()
        return lock

    def ended(self, outcomes: dict[str, Outcome], damaged: Sequence[str] = ()) -> None:
        """Add the outcome of each stage, and which images were skipped, to those of earlier calls."""
        known = self._known() or {}
        before, skipped = known.get("stages") or {}, known.get("damaged") or []
        stages = before | {name: asdict(outcome) for name, outcome in outcomes.items()}
        self._write(stages or None, [*skipped, *(one for one in damaged if one not in skipped)])

    def _known(self) -> dict[str, Any] | None:
        """The record in the folder; None if there is none.

        Raises UserError if it is of a different training, or damaged.
        """
        if not self.path.is_file():
            return None
        content = read_json(self.path)
        if "identity" not in content:
            raise UserError(f"{self.path}: damaged; choose another --out")
        for name in ("trained_on", "settings", "init", "stages"):
            if not isinstance(content.get(name), dict | None):
                raise UserError(f"{self.path}: {name} must be an object; choose another --out")
        if not isinstance(content.get("damaged"), list | None):
            raise UserError(f"{self.path}: damaged must be a list; choose another --out")
        if content["identity"] != self.identity:
            raise UserError(f"{self.out}: {self._why_another(content)}")
        return content

    def _why_another(self, theirs: dict[str, Any]) -> str:
        """How the training in the folder differs from this one, and what to do."""
        ours = json.loads(json.dumps(self._content))
        lines = differences(theirs.get("settings"), ours["settings"])
        lines += differences(_start(theirs.get("init")), _start(ours["init"]), "--init")
        here = json.loads(json.dumps(self.trained_on.decides))
        there = {name: (theirs.get("trained_on") or {}).get(name) for name in here}
        hidden = {"fingerprint": ""}  # 64 digits, which mean nothing to a reader
        data = differences(there | hidden, here | hidden)
        if not data and there != here:
            data = ["their content or names differ"]
        if data and not lines:
            what = f"the images are not those that its training began with ({'; '.join(data[:3])})"
            return f"{what}: restore them, or choose another --out"
        differ = "; ".join([*lines, *data][:3])
        return f"holds a different training (see {self.path}{differ and f': {differ}'}); choose another --out"

    def _write(self, stages: dict[str, Any] | None = None, damaged: Sequence[str] = ()) -> None:
        content = {**self._content, "stages": stages, "damaged": list(damaged)}
        write_whole(self.path, f"{json.dumps(content, indent=2)}\n".encode())

    @property
    def _content(self) -> dict[str, Any]:
        begun = None if self.init is None else self.init.to_json()
        known = {"trained_on": asdict(self.trained_on), "settings": self.decides}
        return {**known, "overrides": self.overrides, "init": begun, "identity": self.identity}


def _start(init: dict[str, Any] | None) -> str:
    """An --init in words, for `_why_another`."""
    if init is None:
        return "nothing"
    kept = ", whose autoencoder is kept," if init.get("kept") else ""
    return f"{init.get('checkpoint')} ({init.get('sha256')!s:.8}){kept}"
