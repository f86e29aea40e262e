"""Images that a run keeps: numbers do not depend on it, and a folder is needed.

What the files show is tested in test_pictures.py.
"""

import pytest

from benchmarks import evaluate
from diffae.system.errors import UserError

pytestmark = pytest.mark.usefixtures("no_effnet")


def test_images_are_kept_of_what_was_measured_without_them_before(patches, tmp_path, monkeypatch):
    """And measured without them after they were kept: the numbers are the same."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    rows = []
    for number, keeps in enumerate((False, True, False)):
        out = tmp_path / f"run-{number}"
        found = evaluate(
            "dummy-map",
            "reconstruction",
            patches.root,
            "smoke",
            out=out,
            cache=True,
            save_images=keeps,
        )
        rows.append([(row.metric, row.setting, row.value, row.stderr) for row in found.rows])
        images = found.samples().image.unique()
        kept = {path.name for path in (out / "images" / "dummy-map").glob("*.png")}
        assert kept == ({f"{image:06d}.png" for image in images} if keeps else set())
    assert rows[0] == rows[1] == rows[2]


def test_python_needs_a_folder_to_keep_them_in():
    with pytest.raises(UserError, match="save_images: needs a run folder"):
        evaluate("dummy-perfect", "reconstruction", profile="smoke", save_images=True)
