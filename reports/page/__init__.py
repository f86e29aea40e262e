"""One self-contained page of finished runs for a browser: tables, plots and pictures.

    from reports.page import write
    write(Path("report.html"), [Path("runs/portraits-quick-1a2b3c4d")])

`view` lays out what the page holds, `names` explains metrics, `plots` draws, `sheets` reads a run's
pictures, `pictures` and `close_ups` choose what the page shows of them, `stored` keeps each once,
and `html` puts it all through one template. Nothing is fetched when the page is opened: styles,
script, plots and pictures are in it, and its content security policy allows nothing else.
"""

from collections.abc import Sequence
from pathlib import Path

from diffae.system.whole import write_whole
from reports.records.entries import Entry
from reports.tables.build import Merged, read


def write(path: Path, runs: Sequence[Path]) -> None:
    """Write the page of finished run folders to the file `path`, whole or not at all.

    Several are shown side by side.

    Raises UserError naming the file of a run folder that is invalid, and OSError if the file cannot
    be written.
    """
    write_merged(path, read(runs))


def write_merged(path: Path, merged: Merged) -> None:
    """The same for runs that were already read and merged."""
    # Imported here: the template engine and SciPy take time, which --help does not need.
    from reports.page.html import render

    write_whole(path, render(merged, path.parent).encode())


def write_board(path: Path, entries: Sequence[Entry], folder: Path) -> None:
    """Write the board of `entries` to the file `path`; its links are relative to `folder`.

    Raises OSError if the file cannot be written.
    """
    from reports.page.board import render

    write_whole(path, render(entries, folder).encode())
