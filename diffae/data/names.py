"""Files by name, however much of the path is written."""

from collections.abc import Sequence


class Names:
    """The places of some files, found by name: as it is, or with more or fewer folders before it."""

    def __init__(self, files: Sequence[str]):
        self._exact = {name: place for place, name in enumerate(files)}
        self._alike: dict[str, list[str]] = {}
        for name in files:
            self._alike.setdefault(name.rpartition("/")[2], []).append(name)

    def places(self, name: str) -> list[int]:
        """Where the file is: one place, none, or several if too few folders are written."""
        if name in self._exact:
            return [self._exact[name]]
        alike = self._alike.get(name.rpartition("/")[2], [])
        found = [one for one in alike if f"/{one}".endswith(f"/{name}") or name.endswith(f"/{one}")]
        return [self._exact[one] for one in found]
