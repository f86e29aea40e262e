"""docs/paper.md: its commands are valid."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from official_files import TINY, tiny_state, write_lightning

from benchmarks.commands.options import parse
from diffae import convert

PAGE = (Path(__file__).parents[2] / "docs" / "paper.md").read_text()


def runs() -> list[list[str]]:
    """The arguments of every run of the page."""
    lines = re.findall(r"^    python -m benchmarks\.run (.*)$", PAGE.replace("\\\n", " "), re.M)
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
    found = [arguments for arguments in runs() if arguments[0] != "doctor"]
    assert len(found) == 5
    for arguments in found:
        options = parse([{"cuda": "cpu"}.get(a, a) for a in arguments], None)
        assert options.profile.name == "paper" and options.profile.changed == ()
        assert set(options.checkpoints) >= EXPECTED[arguments[0]]
        assert options.networks.weights_dir == Path("weights")
