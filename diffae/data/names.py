"""Files by name, however much of the path is written."""

from collections import defaultdict
from collections.abc import Sequence

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
