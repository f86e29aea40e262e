from contextlib import ExitStack

import pytest
from programs import program
from visits import visiting


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = program("chromium")
    with sync_playwright() as play:
        with play.chromium.launch(executable_path=path, args=["--no-sandbox"]) as browser:
            yield browser


@pytest.fixture(scope="session")
def tab(browser):
    return browser.new_page(reduced_motion="reduce")


@pytest.fixture
def visited(tab):
    """Open a file in a browser: a `Visit`, which must end without a complaint."""
    with ExitStack() as stack:
        yield lambda path, width=1400: stack.enter_context(visiting(tab, path, width))
