"""What docs/python.md and the notebook show is run, from the first line to the last."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow  # 20 s each; .ci/run has them run

ROOT = Path(__file__).parents[2]
PAGE, NOTEBOOK = ROOT / "docs" / "python.md", ROOT / "examples" / "evaluate.ipynb"


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """Portraits are drawn once for both."""
    return tmp_path_factory.mktemp("cache")


def test_the_page_runs(cache, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DIFFAE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 6
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    frame = names["results"].frame()
    assert {"auroc", "ssim"} <= set(frame["metric"]) and frame["stderr"].notna().any()
    assert set(names["several"].frame()["system"]) == {"blurred", "DiffAE"}
    assert not any(names[name].failures for name in ("results", "several", "other"))
    assert set(names["verdicts"]["verdict"]) == {"same"}
    assert 0 < names["mse"] < 0.1
    told = capsys.readouterr().out
    assert re.search(r"DiffAE, T = 2, x_T inverted: 0\.\d{3} ± 0\.\d{3}", told)
    assert "unknown system 'difae'" in told and "did you mean diffae" in told
    assert not list(tmp_path.iterdir())  # nothing is written


def test_the_notebook_runs_and_shows_what_it_gives(cache, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(cache))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    committed = nbformat.read(NOTEBOOK, as_version=4)
    run = NotebookClient(copy.deepcopy(committed), timeout=300).execute()
    for before, after in zip(committed.cells, run.cells, strict=True):
        if before.cell_type == "code":
            assert kinds(before) == kinds(after), before.source


def kinds(cell) -> set[str]:
    """What a cell shows: frames, pictures, text; warnings on stderr are no part of it."""
    shown = [output for output in cell.outputs if output.get("name") != "stderr"]
    return {kind for output in shown for kind in output.get("data", ["text"])} - {"image/jpeg"}
