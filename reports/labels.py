"""What runs are called where several stand in one table."""

import os
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path

from reports.reading import Refused
from reports.sources import Source


def labels_of(groups: Sequence[Sequence[Source]]) -> list[str]:
    """A name for each group of runs: its label, else the shortest part of its first folder's path that no other has."""
    parts = _parts_that_differ([_folder(group) for group in groups])
    names = [group[0].label or part for group, part in zip(groups, parts, strict=True)]
    for name in names:
        if names.count(name) > 1:
            raise Refused(f"two runs would be called {name}; name them: NAME=RUN")
    return names


def _folder(group: Sequence[Source]) -> Path:
    """The folder of a run; of several beside each other, what their names begin with."""
    paths = [Path(os.path.abspath(source.folder)) for source in group]
    letters = zip(*(path.name for path in paths), strict=False)
    same = "".join(c[0] for c in takewhile(lambda c: len(set(c)) == 1, letters)).rstrip("-_. ")
    beside = len({path.parent for path in paths}) == 1
    return paths[0].with_name(same) if len(paths) > 1 and beside and same else paths[0]


def _parts_that_differ(paths: Iterable[Path]) -> list[str]:
    """Of paths that end alike (`a/run`, `b/run`) the part that tells them apart (`a`, `b`), or the shortest end that does."""
    parts = [path.relative_to(path.anchor).parts for path in paths]
    shortest = min(map(len, parts))
    for k in range(1, shortest + 1):
        if len({part[-k] for part in parts}) == len(parts):
            return [part[-k] for part in parts]
    for k in range(2, max(map(len, parts)) + 1):
        ends = ["/".join(part[-k:]) for part in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [part[-1] for part in parts]
