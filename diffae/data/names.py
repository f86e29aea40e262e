"""Find files by name, with or without their folders, and match rows that have no names with files."""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from diffae.system.errors import UserError


class Names:
    """The indices of files by name. A name may be written with more or fewer folders before it."""

    def __init__(self, files: Sequence[str]):
        self._places = {name: place for place, name in enumerate(files)}
        self._by_base_name = defaultdict[str, list[str]](list)
        for name in files:
            self._by_base_name[name.rpartition("/")[2]].append(name)

    def places(self, name: str) -> list[int]:
        """The indices of the files that `name` may mean: several if it has too few folders."""
        if name in self._places:
            return [self._places[name]]
        end = f"/{name}"
        return [
            self._places[file]
            for file in self._by_base_name.get(name.rpartition("/")[2], [])
            if f"/{file}".endswith(end) or end.endswith(f"/{file}")
        ]

    def only(self, name: str, where: str, hint: str = "") -> int:
        """The index of a file. Unless there is just one, raises UserError that begins with `where`."""
        places = self.places(name)
        if len(places) > 1:
            raise UserError(f"{where}: {name} is several of the images; add its folder")
        if not places:
            raise UserError(f"{where}: {name} is none of the images{hint}")
        return places[0]


def places_of_unnamed(names: Sequence[str]) -> tuple[list[int], str] | None:
    """Match rows that have no names with as many files: the index in `names` of the file of each row.

    Also returns how this was decided, for a note. Names that count from 0, such as 000012.png, match
    the row of that number. Other names match in their order if they ascend, as texts or by the numbers
    in them. None if no order is certain. The names must differ.
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
    pieces = re.findall(r"([^0-9]*)([0-9]{0,18})", name)
    return [(text, int(number or -1)) for text, number in pieces]
