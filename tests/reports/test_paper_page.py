"""docs/paper.md: its commands are commands, and its snippet makes a LaTeX table of the right numbers."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from official_files import TINY, tiny_state, write_lightning

from benchmarks import REGISTRY, measure
from benchmarks.commands.options import parse
from benchmarks.core.tables import specs
from diffae import convert
from diffae.train.presets import PRESETS
from reports.records import HIGHER, Record
from reports.tables import write_tables

PAGE = (Path(__file__).parents[2] / "docs" / "paper.md").read_text()


def commands(module: str) -> list[list[str]]:
    """The arguments of every command of the page that runs this module."""
    text = PAGE.replace("\\\n", " ")
    lines = re.findall(rf"^    python -m {re.escape(module)} (.*)$", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    """A small model wherever the page names one, and an empty folder for weights."""
    baseline = replace(TINY, kind="ddim", encoder_channel_mult=(), z_channels=512, latent=None)
    for name in set(re.findall(r"(\w+)/last\.ckpt", PAGE)):
        (tmp_path / name).mkdir()
        state = tiny_state(baseline if "ddpm" in name else TINY)
        write_lightning(tmp_path / name / "last.ckpt", state)
    (tmp_path / "weights").mkdir()
    convert.main([str(tmp_path / "ffhq128_autoenc_latent"), str(tmp_path / "runs" / "celeba64")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


EXPECTED = {
    "all": {"diffae", "ddim"},
    "reconstruction": set(),
    "unconditional": {"diffae", "ddim"},
    "fewshot": {"diffae"},
}


def test_every_run_of_the_page_parses(files):
    found = [arguments for arguments in commands("benchmarks.run") if arguments[0] != "doctor"]
    assert len(found) == 5
    for arguments in found:
        options = parse([{"cuda": "cpu"}.get(a, a) for a in arguments], None)
        assert options.profile.name == "paper" and options.profile.changed == ()
        assert set(options.checkpoints) >= EXPECTED[arguments[0]]
        assert options.weights_dir == Path("weights")


def test_the_other_commands_of_the_page_parse(files):
    (arguments,) = commands("diffae.convert")
    convert.main(arguments)
    assert (files / arguments[1] / "model.safetensors").is_file()
    assert [measure._parser().parse(a).metric for a in commands("benchmarks.measure")] == [
        "fid",
        "lpips",
    ]
    presets = [arguments[0] for arguments in commands("diffae.train")]
    assert presets == ["celeba64"] and PRESETS["celeba64"].expect


def test_the_snippet_makes_a_latex_table(tmp_path, monkeypatch, capsys):
    rows = {
        ("DiffAE", "x_T inverted"): (49664, 0.991, 0.011, 6.07e-5),
        ("DiffAE", "x_T random"): (512, 0.677, 0.073, 7e-3),
        ("VQ-GAN", ""): (65536, 0.782, 0.109, 3.61e-3),
    }
    records = [
        Record(
            "reconstruction",
            "table1_reconstruction",
            system,
            "celeba-hq",
            "all",
            setting,
            100 if setting else None,
            metric,
            value,
            direction=HIGHER,
        )
        for (system, setting), values in rows.items()
        for metric, value in zip(("latent_dim", "ssim", "lpips", "mse"), values, strict=True)
    ]
    write_tables(
        records, tmp_path / "runs/celeba-hq/tables", title="", context={}, specs=specs(REGISTRY.own)
    )
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall(r"^    import pandas as pd\n(?:    .*\n)+", PAGE, re.MULTILINE)
    exec("\n".join(line[4:] for line in snippet.splitlines()), {})
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[1] == r"\toprule" and lines[-1] == r"\end{tabular}"
    assert any(
        line.endswith(r"& x\_T inverted & 49,664 & 0.991 & 0.011 & 6.07e-05 \\") for line in lines
    )
    assert any(
        line.endswith(r"& x\_T random & 512 & 0.677 & 0.073 & 7.00e-03 \\") for line in lines
    )
    assert any(line.startswith("VQ-GAN &") and "65,536" in line for line in lines)
