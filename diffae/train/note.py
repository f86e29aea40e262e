"""`training.json`: what a folder's training is, for people, for going on, and for who evaluates the result."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from diffae.errors import UserError
from diffae.files import read_text, write_whole, writing
from diffae.lock import foreign, lock_folder
from diffae.train.overrides import differences
from diffae.train.stages import Outcome
from diffae.train.trainer import identity_of
from diffae.trained_on import NOTE, TrainedOn


@dataclass(frozen=True)
class Note:
    """What decides the result of the training in `out`, and what is told beside it.

    Which stages are trained now is no part of it: a folder's stages may be trained one after the other.
    """

    out: Path
    trained_on: TrainedOn
    decides: dict[str, Any]
    overrides: list[str]  # as typed; what they change is in `decides`

    @property
    def path(self) -> Path:
        return self.out / NOTE

    @property
    def identity(self) -> str:
        """What decides the result: not the wording of a preset, nor the name of the data."""
        return identity_of(trained_on=self.trained_on.decides, settings=self.decides)

    def claim(self) -> IO[str]:
        """Make the folder this training's, locked while the file returned is open.

        Raises UserError if it holds something else, or if another process is training in it.
        """
        known = self._known()
        if known is None and self.out.exists() and (not self.out.is_dir() or foreign(self.out)):
            raise UserError(
                f"{self.out}: exists and is not a training folder; choose another --out"
            )
        with writing(self.out, "or choose another --out"):
            self.out.mkdir(parents=True, exist_ok=True)
            lock = lock_folder(self.out, "training")
            if known is None:
                self._write(None)
        return lock

    def ended(self, outcomes: dict[str, Outcome]) -> None:
        """Keep how each stage went, beside what is known of those that were trained before."""
        before = (self._known() or {}).get("stages") or {}
        self._write(before | {name: asdict(outcome) for name, outcome in outcomes.items()} or None)

    def _known(self) -> dict[str, Any] | None:
        """What stands there; None if nothing does. Raises UserError if it is of another training, or damaged."""
        if not self.path.is_file():
            return None
        try:
            content: dict[str, Any] = json.loads(read_text(self.path))
            theirs = content["identity"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(
                f"{self.path}: damaged, or of another version; choose another --out"
            ) from None
        if theirs != self.identity:
            differ = "; ".join(self._differences(content)[:3])
            raise UserError(
                f"{self.out}: holds another training (see {self.path}{differ and f': {differ}'}); choose another --out"
            )
        return content

    def _differences(self, theirs: dict[str, Any]) -> list[str]:
        """What of the settings of another note is not as in this one."""
        return differences(theirs.get("settings"), json.loads(json.dumps(self.decides)))

    def _write(self, stages: dict[str, Any] | None) -> None:
        content = {
            "trained_on": self.trained_on.to_json(),
            "settings": self.decides,
            "overrides": self.overrides,
            "identity": self.identity,
            "stages": stages,
        }
        write_whole(self.path, (json.dumps(content, indent=2) + "\n").encode())
