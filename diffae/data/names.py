"""Files by name, however much of the path is written; and the order of files whose names are not known."""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from diffae.system.errors import UserError


class Names:
    """The places of some files, found by name: as it is, or with more or fewer folders before it."""

    def __init__(self, files: Sequence[str]):
        self._places = {name: place for place, name in enumerate(files)}
        self._alike = defaultdict[str, list[str]](list)
        for name in files:
            self._alike[name.rpartition("/")[2]].append(name)

    def places(self, name: str) -> list[int]:
        """Where the file is: one place, none, or several if too few folders are written."""
        if name in self._places:
            return [self._places[name]]
        alike, end = self._alike.get(name.rpartition("/")[2], []), f"/{name}"
        return [self._places[a] for a in alike if f"/{a}".endswith(end) or end.endswith(f"/{a}")]

    def only(self, name: str, where: str, hint: str = "") -> int:
        """The place of a file. Raises UserError that begins with `where` unless there is just one."""
        found = self.places(name)
        if len(found) != 1:
            what = "several of the images; add its folder" if found else f"none of the images{hint}"
            raise UserError(f"{where}: {name} is {what}")
        return found[0]


def places_of_unnamed(names: Sequence[str]) -> tuple[list[int], str] | None:
    """Where each of as many rows without names is among different `names`, and how this was decided.

    Names that count from 0, such as 000012.png, match the rows by their number. Other names match in
    order if they ascend, as texts or by the numbers in them. None if no order is certain.
    """
    counts = [re.fullmatch(r"(.*?)([0-9]{1,18})(\.\w+)?", name) for name in names]
    prefixes = {count and count[1] for count in counts}
    if None not in prefixes and len(prefixes) == 1:
        numbers = [int(count[2]) for count in counts if count]
        places = sorted(range(len(names)), key=numbers.__getitem__)
        if sorted(numbers) == list(range(len(names))):
            return places, "matched by number: the names count from 0"
    numbered = [_by_number(name) for name in names]
    if all(a < b for a, b in pairwise(names)) or all(a < b for a, b in pairwise(numbered)):
        return list(range(len(names))), "taken in order: the names ascend"
    return None


def _by_number(name: str) -> list[tuple[str, int]]:
    """A key that sorts img9 before img10."""
    return [
        (text, int(number or -1)) for text, number in re.findall(r"([^0-9]*)([0-9]{0,18})", name)
    ]
