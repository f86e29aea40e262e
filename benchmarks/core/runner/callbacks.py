"""Callbacks: objects that are told how far a run is, for a progress bar or a log."""

from benchmarks.core.rows import Row


class Callback:
    """Base class; its methods do nothing."""

    def note(self, line: str) -> None:
        """A message for the user."""

    def begins(self, benchmark: str) -> None:
        """A benchmark begins."""

    def row(self, row: Row) -> None:
        """A row was measured."""

    def ends(self, benchmark: str, seconds: float | None) -> None:
        """A benchmark ended; `seconds` is how long it took, None if that is not known."""
