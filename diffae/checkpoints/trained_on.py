"""The images that a checkpoint was trained on, from `training.json` beside its weights.

An evaluation on training images is noticed by it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from diffae.data import Dataset
from diffae.data.prepared import PORTRAITS_NOTE
from diffae.system.errors import UserError
from diffae.system.files import Json, JsonObject, read_json
from diffae.system.settings import check

NOTE = "training.json"


@dataclass(frozen=True)
class TrainedOn:
    """The images that a training saw.

    `data` is the name of the data set, `fingerprint` its content, `partition` the origin of its
    split, `transform` describes how files become squares, `count` is the number of images and
    `seed` that of the training. Generated portraits have `portraits`, the settings of their
    generator, in place of a fingerprint: the first n of them are the same however many were drawn.
    (Those with factors at levels have a fingerprint.) `before` is the record of the model whose
    weights the training began with.
    """

    preset: str
    data: str
    split: str
    count: int
    seed: int
    partition: str = ""
    transform: dict[str, str | int | bool | None] | None = None
    fingerprint: str = ""
    portraits: dict[str, int] | None = None
    before: "TrainedOn | None" = None

    @staticmethod
    def describe(
        preset: str, dataset: Dataset, split: str, seed: int, before: "TrainedOn | None" = None
    ) -> "TrainedOn":
        """The record of a training on a split of `dataset`.

        `before` is that of the model it began with.
        """
        portraits, count = _generator(dataset), len(dataset.indices(split))
        transform, partition = dataset.transform.describe(), dataset.partition_source
        fingerprint = "" if portraits else dataset.fingerprint
        data = (dataset.name, split, count, seed, partition, transform, fingerprint)
        return TrainedOn(preset, *data, portraits, before)

    def saw(self, dataset: Dataset, split: str) -> bool:
        """Whether the training saw images of a split of `dataset`, as far as is recorded."""
        return self.sight(dataset, split) is not None

    def sight(self, dataset: Dataset, split: str) -> "TrainedOn | None":
        """The training that saw images of a split of `dataset`: this one, an earlier one, or None."""
        if self._itself_saw(dataset, split):
            return self
        return None if self.before is None else self.before.sight(dataset, split)

    def _itself_saw(self, dataset: Dataset, split: str) -> bool:
        shared = split == self.split or "all" in (split, self.split)
        portraits = _generator(dataset)
        if portraits and self.portraits:  # their split is the generator's
            same = all(portraits[name] == self.portraits.get(name) for name in ("version", "seed"))
            return same and shared
        if not self.fingerprint or self.fingerprint != dataset.fingerprint:
            return False
        # The split differs, but the images are the same: some were seen.
        return shared or self.partition != dataset.partition_source

    def remark(self, dataset: Dataset, split: str) -> str:
        """A note for a number measured on a split of `dataset`; empty if no image of it was seen."""
        seen = self.sight(dataset, split)
        if seen is None:
            return ""
        where = f"{seen.split} of {seen.data}"
        return f"evaluated on images that this checkpoint was trained on ({where})"

    @property
    def decides(self) -> dict[str, Json]:
        """The fields that decide the result of a training.

        They exclude the names of preset and data, and `before`: its weights decide, not its record.
        """
        return {k: v for k, v in asdict(self).items() if k not in ("preset", "data", "before")}


def read(folder: Path) -> TrainedOn | None:
    """Read the record beside a checkpoint; None if there is none.

    Raises UserError if it is damaged.
    """
    note = folder / NOTE
    if not note.is_file():
        return None
    try:
        return _from_json(read_json(note)["trained_on"])
    except (UserError, ValueError, KeyError, TypeError) as error:
        why = f" ({error})".replace(f"{note}: ", "") if isinstance(error, UserError) else ""
        raise UserError(f"{note}: not the record of a training{why}; move it away") from None


def _from_json(record: JsonObject) -> TrainedOn:
    """The inverse of `asdict`; the packaged models' records have no `before`.

    Raises UserError naming a field of a wrong type.
    """
    before = dict(record).get("before")
    trained_on = TrainedOn(**{**record, "before": None if before is None else _from_json(before)})
    check(trained_on)
    for name in ("transform", "portraits"):
        if not isinstance(value := getattr(trained_on, name), dict | None):
            raise UserError(f"{name}: must be an object or null, not {value!r:.40}")
    return trained_on


def _generator(dataset: Dataset) -> dict[str, int] | None:
    """The settings of the generator, if `dataset` is a set of portraits without levels of factors."""
    note = Path(dataset.root) / PORTRAITS_NOTE
    if not note.is_file():
        return None
    try:
        about = read_json(note)
        size = {"size": about["size"]} if "size" in about else {}
        settings = {name: about[name] for name in ("version", "seed", "count")} | size
        return None if about.get("levels") else settings
    except (UserError, KeyError):
        return None  # a file of that name that is not ours
