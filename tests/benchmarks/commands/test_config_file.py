"""`--config FILE` has the effect of a command line, and is refused together with one."""

import pytest

from benchmarks.commands.options import parse
from diffae.system.errors import UserError

FILE = """
benchmarks = ["reconstruction", "probes"]
systems = ["dummy-perfect", "ddim"]
profile = "smoke"
steps = [4, 2]
seed = 3
fresh = true
dry-run = false
weights_dir = "."

[ckpt]
ddim = "portraits-ddim"
"ddim:again" = "other"

[set]
reconstruction.images = 12
identity.strengths = [0.2, 0.5]

[set.probes]
train = 64
adam_paper = true
"""
LINE = [
    "reconstruction", "probes", "--systems", "dummy-perfect,ddim", "--profile", "smoke", "--steps", "4,2",
    "--seed", "3", "--fresh", "--weights-dir", ".", "--ckpt", "ddim=portraits-ddim", "--ckpt", "ddim:again=other",
    "--set", "reconstruction.images=12", "--set", "identity.strengths=0.2,0.5", "--set", "probes.train=64",
    "--set", "probes.adam_paper=true",
]  # fmt: skip


@pytest.fixture
def config(tmp_path):
    def write(text: str) -> list[str]:
        (tmp_path / "run.toml").write_text(text)
        return ["--config", str(tmp_path / "run.toml")]

    return write


def asked(*arguments: str) -> dict:
    return vars(parse(list(arguments), None)) | {"arguments": None}


def test_a_file_is_the_command_line_that_it_says(config):
    assert asked(*config(FILE)) == asked(*LINE)


def test_what_is_typed_wins(config):
    given = config(FILE)
    typed = asked("cost", *given, "--seed", "5", "--ckpt", "ddim=mine", "--set", "probes.train=8")
    assert typed["benchmarks"] == ("cost",) and typed["seed"] == 5
    assert typed["checkpoints"] == {"ddim": "mine"}
    settings = typed["profile"].settings()
    assert settings["probes.train"] == 8 and settings["reconstruction.images"] == 12


@pytest.mark.parametrize(
    "text",
    [
        'benchmarks = "all"',
        'benchmarks = ["all"]\nckpt = "ddim=x"\nset = ["reconstruction.steps=3"]',
    ],
)
def test_one_thing_needs_no_list(config, text):
    assert len(asked(*config(text))["benchmarks"]) == 13


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("benchmark = 'all'", "benchmark: no such flag; did you mean benchmarks?"),
        ("config = 'a'", "config: no such flag"),
        ("seed = -1", "argument --seed: must be at least 0, not -1"),
        ("seed = 1.5", "'1.5' is not a whole number"),
        ("fresh = 'yes'", "fresh: must be true or false, not 'yes'"),
        ("fresh = 0", "fresh: must be true or false, not 0"),
        ("data = {a = 1}", "data: must be a text, a number or a list of them"),
        ("crop = 'squar'", "argument --crop: invalid choice: 'squar'"),
        ("seed = ", "not TOML: "),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(config, text, said):
    given = config(text)
    with pytest.raises(UserError) as error:
        parse(["all", *given], None)
    line = str(error.value)
    assert line.startswith(f"--config {given[1]}: ") and said in line and "\n" not in line


def test_without_benchmarks_it_says_what_to_do(config):
    with pytest.raises(UserError, match="no benchmark given: name some, or all"):
        parse(config("seed = 1"), None)
    with pytest.raises(UserError, match="no benchmark given: name some, or all"):
        parse([], None)
