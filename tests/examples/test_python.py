"""The code of docs/python.md and of docs/systems.md runs from the first line to the last.

The notebook is run by tests/wheel.py, and the callback of Lightning by test_lightning.py.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import diffusers_models
import pytest

pytestmark = pytest.mark.slow  # 20 s each; .ci/run has them run

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "python.md"
SYSTEMS = ROOT / "docs" / "systems.md"


@pytest.fixture
def cache(tmp_path) -> Path:
    """An empty cache: on a new machine the first call draws the portraits, wherever it is made."""
    return tmp_path / "cache"


def test_the_page_runs(cache, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DIFFAE_CACHE", str(cache))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    frame = names["results"].frame()
    assert {"auroc", "ssim"} <= set(frame["metric"]) and frame["stderr"].notna().any()
    assert set(names["several"].frame()["system"]) == {"blurred", "DiffAE"}
    assert not any(names[name].failures for name in ("results", "several", "new"))
    measured = names["verdicts"].query("metric == 'mse'")
    assert len(measured) and (measured["base"] != measured["new"]).all()  # two models
    told = capsys.readouterr().out
    assert re.search(r"DiffAE, T = 2, x_T inverted: 0\.\d{3} ± 0\.\d{3}", told)
    assert "unknown system 'difae'" in told and "did you mean diffae" in told
    assert not list(Path.cwd().iterdir())  # nothing is written


def test_the_page_of_systems_runs(cache, monkeypatch, tmp_path, capsys):
    """On a small model in the folder that the page downloads; of 256 px it would take a minute."""
    pytest.importorskip("diffusers")
    monkeypatch.setenv("DIFFAE_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    diffusers_models.save(tmp_path / "sd-vae-ft-mse", "AutoencoderKL")
    (block,) = re.findall(r"^```python\n(.*?)^```$", SYSTEMS.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(compile(block.replace("image_size=256", "image_size=32"), str(SYSTEMS), "exec"), names)
    mse = names["results"].frame().query("metric == 'mse'").groupby("system")["value"].first()
    assert set(mse.index) == {"tuned", "sd-vae-ft-mse (AutoencoderKL)"}
    assert mse.nunique() == 1  # one model, in memory and from its folder
    assert "tuned" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["script", "standard input", "interactive"])
def test_a_first_call_works_in_a_program_without_a_main_guard(how, cache, tmp_path):
    program = """
from benchmarks import evaluate
results = evaluate("dummy-perfect", "reconstruction", profile="smoke")
print(len(results.failures), results.frame().query("metric == 'mse'")["value"].max())

"""
    (tmp_path / "script.py").write_text(program)
    command = {"script": [tmp_path / "script.py"], "standard input": ["-"], "interactive": ["-i"]}
    paths = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'kit'}"
    environment = os.environ | {"DIFFAE_CACHE": str(cache), "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, *command[how]],
        input=program,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "0 0.0\n", done.stderr
    assert len(list(cache.rglob("*.png"))) == 640  # which several processes drew
