"""`training.json`: the record of a folder's training, for the reader, to resume, and to evaluate."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from diffae.checkpoints.trained_on import NOTE, TrainedOn
from diffae.system.errors import UserError
from diffae.system.files import Json, JsonObject, foreign, hash_of, lock_folder, read_json, writing
from diffae.system.whole import sweep, write_whole
from diffae.train.init import Init
from diffae.train.presets import differences
from diffae.train.types import Outcome

DECIDE = ("settings", "init", "trained_on")  # the fields that tell one training from another


@dataclass(frozen=True)
class Note:
    """The settings that decide the result of the training in `out`, and further information.

    The choice of stages is not part of it: a folder's stages may be trained one after the other.
    """

    out: Path
    trained_on: TrainedOn
    decides: Mapping[str, Json]
    overrides: list[str]  # as typed; their effect is in `decides`
    init: Init | None = None

    @property
    def path(self) -> Path:
        return self.out / NOTE

    @property
    def identity(self) -> str:
        """A hash of everything that decides the result (no descriptions, not the name of the data)."""
        init = {} if self.init is None else {"init": self.init.decides}
        return hash_of({"trained_on": self.trained_on.decides, "settings": self.decides, **init})

    def claim(self) -> IO[str]:
        """Claim the folder for this training; it is locked while the file returned is open.

        Raises UserError if it holds something else, or if another process is training in it.
        """
        is_foreign = foreign(self.out)  # before the note is looked for, which may be written now
        if self._read() is None and is_foreign:
            raise UserError(f"{self.out}: exists and is no training folder; choose another --out")
        with writing(self.out, "or choose another --out"):
            self.out.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(self.out, "training")
            sweep(self.out.glob("*.partial"))
            if self._read() is None:  # a process that has ended meanwhile may have written it
                self._write()
        return lock

    def ended(self, outcomes: dict[str, Outcome]) -> None:
        """Add the outcome of each stage to those of earlier calls."""
        earlier = (self._read() or {}).get("stages") or {}
        self._write(earlier | {name: asdict(outcome) for name, outcome in outcomes.items()})

    def _read(self) -> JsonObject | None:
        """The record in the folder; None if there is none.

        Raises UserError if it is of a different training, or damaged.
        """
        if not self.path.is_file():
            return None
        content = read_json(self.path)
        if "identity" not in content or not isinstance(content.get("stages"), dict | None):
            raise UserError(f"{self.path}: damaged; choose another --out")
        if content["identity"] != self.identity:
            expected = json.loads(json.dumps(self._content))
            there, here = ({n: record.get(n) for n in DECIDE} for record in (content, expected))
            changes = "; ".join(differences(there, here)[:3])
            holds = f"holds a different training (see {self.path}: {changes})"
            raise UserError(f"{self.out}: {holds}; choose another --out")
        return content

    def _write(self, stages: JsonObject | None = None) -> None:
        content = {**self._content, "stages": stages}
        write_whole(self.path, f"{json.dumps(content, indent=2)}\n".encode())

    @property
    def _content(self) -> dict[str, Json]:
        init = None if self.init is None else self.init.to_json()
        decisive = {"trained_on": asdict(self.trained_on), "settings": self.decides}
        return {**decisive, "overrides": self.overrides, "init": init, "identity": self.identity}
