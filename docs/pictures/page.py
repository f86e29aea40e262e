"""Take the picture of the page in docs/pictures.md, in Chromium.

python docs/pictures/page.py docs/pictures/page.png
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from diffae.app import page
from diffae.app.studio import Studio
from diffae.data import portraits

ADA = 40_092  # of docs/pictures/verbs.py


def main(out: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["GRADIO_TEMP_DIR"] = scratch
        face = Path(scratch) / "ada.png"
        Image.fromarray(portraits.render(portraits.portrait(0, ADA), 256)).save(face)
        shown = page.build(Studio.of("portraits", None, "cpu", Path(scratch) / "made"), "portraits")
        take(page.launch(shown, "127.0.0.1", None), face, out)
        shown.close(verbose=False)
    small = Image.open(out).convert("RGB")
    small.quantize(128, dither=Image.Dither.NONE).save(out, optimize=True)


def take(address: str, face: Path, out: Path) -> None:
    """A screenshot of the page with a picture on it, and one of its sliders moved."""
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        tab = browser.new_page(viewport={"width": 1100, "height": 800})
        tab.goto(address)
        tab.set_input_files("#picture input[type=file]", face)
        tab.wait_for_selector("#result img")
        tab.locator("#attribute-Eyeglasses input[type=range]").fill("0.4")
        tab.wait_for_function("document.querySelector('#result img').src.includes('Eyeglasses')")
        tab.wait_for_timeout(1000)
        tab.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
