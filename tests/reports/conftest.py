import pytest
from programs import program


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    path = program("chromium")
    with sync_playwright() as play:
        with play.chromium.launch(executable_path=path, args=["--no-sandbox"]) as browser:
            yield browser
