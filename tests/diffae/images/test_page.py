"""docs/pictures.md: its pictures are of the packaged model, and its lines of Python run."""

import re
from pathlib import Path

import pytest

from diffae import images
from diffae.checkpoints import checkpoint

DOCS = Path(__file__).parents[3] / "docs"
TEXT = (DOCS / "pictures.md").read_text(encoding="utf-8")
SHOWN = sorted(set(re.findall(r"\(pictures/([\w-]+\.\w+)\)", TEXT)))


@pytest.mark.parametrize("name", SHOWN)
def test_a_picture_is_small_and_of_the_packaged_model(name):
    """Made anew: python docs/pictures/verbs.py docs/pictures"""
    path = DOCS / "pictures" / name
    assert path.stat().st_size < 200_000
    if name.startswith("verb-"):
        mark = images.read_mark(path)
        assert mark["checkpoint_sha256"] == checkpoint.open_checkpoint("portraits").fingerprint()
        assert name.startswith(f"verb-{mark['verb']}") or name == "verb-photograph.png"


def test_the_lines_of_python_run():
    (code,) = [
        one for one in re.findall(r"```python\n(.*?)```", TEXT, re.S) if "images.edit" in one
    ]
    scope = {}
    exec(code, scope)
    assert scope["edited"].shape == (4, 3, 32, 32) and scope["strip"].shape == (9, 3, 32, 32)
