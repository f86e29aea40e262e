"""Who is told where a run is, so that it can say so."""

from benchmarks.core.rows import Row


class Callback:
    """Told where a run is. This one says nothing."""

    def note(self, line: str) -> None:
        """Something that a person should know now."""

    def begins(self, benchmark: str) -> None:
        """A benchmark is measured next."""

    def row(self, row: Row) -> None:
        """A number is there: its system is being measured, those before it are done."""

    def ends(self, benchmark: str, seconds: float | None) -> None:
        """A benchmark is done, and how long it took where that is known."""
