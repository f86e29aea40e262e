"""Pages in one tab of a browser, which takes less time than a tab for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Visit:
    """An open page: its errors, and its network requests."""

    def __init__(self, page, path: Path):
        self.page, self.own = page, path.as_uri()
        self.complaints: list[str] = []
        self.asked: list[str] = []

    def unfold(self) -> None:
        self.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")

    def column(self, table: str, index: int) -> list[str]:
        return self.page.locator(f"{table} tbody tr > :nth-child({index + 1})").all_inner_texts()


@contextmanager
def visiting(tab, path: Path, width: int = 1400) -> Iterator[Visit]:
    """The file at `path` in the tab, as if it was opened for the first time.

    Raises AssertionError if it complains.
    """
    visit = Visit(tab, path)
    listeners = {
        "console": lambda message: visit.complaints.append(message.text),
        "pageerror": lambda error: visit.complaints.append(str(error)),
        "request": lambda request: visit.asked.append(request.url),
    }
    tab.goto("about:blank")
    tab.set_viewport_size({"width": width, "height": 900})
    for event, listener in listeners.items():
        tab.on(event, listener)
    try:
        tab.goto(visit.own)
        yield visit
    finally:
        for event, listener in listeners.items():
            tab.remove_listener(event, listener)
        tab.emulate_media(media="screen")
    assert not visit.complaints
