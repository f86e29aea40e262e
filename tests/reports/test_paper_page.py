"""docs/paper.md: its commands are valid."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from official_files import TINY, tiny_state, write_lightning

from benchmarks import measure
from benchmarks.commands.options import parse
from diffae import convert
from diffae.train.presets import PRESETS

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
