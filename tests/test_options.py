"""Every option of every command at its falsy and its extreme values: 0, an empty word, the limits.

TABLE has the expected effect of each (tests/helpers/option_views.py), relative to the command
without the option. `test_every_option_is_in_the_table` fails for an option without a row, and for a
row without an option.
"""

import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from option_views import (
    REFUSED,
    data,
    images,
    make_ground,
    options_of,
    parser_of,
    plain,
    run,
    short_preset,
    train,
)

from benchmarks.runtime.choices import NetworkChoice

ONE_GPU = "--dry-run --tflops 1"
SAME, OTHER = "as without it", "another than without it"
EMPTY = "is empty"


class Like(NamedTuple):
    """The same effects as another command line."""

    command: str
    flags: str = ""


IMAGES = "diffae.images.__main__"
MODEL = "--ckpt {ckpt} --steps 1 --solver ddim --out {out}"
DIRECTION = "--classifier {classifier}"
# The view of a command, its module (and verb), its words without a flag, and its flags.
BASES = {
    "run": (run, "benchmarks.run all", "reconstruction", "--systems dummy-perfect --profile smoke --data {faces}"),
    "list": (plain, "benchmarks.run list", "", ""),
    "weights": (plain, "benchmarks.run weights", "", ""),
    "doctor": (plain, "benchmarks.run doctor", "", ""),
    "measure": (plain, "benchmarks.measure", "mse {two} {two}", ""),
    "identity": (plain, "benchmarks.commands.train_identity", "", "--data {faces} --out {out}"),
    "train": (train, "diffae.train.__main__", "tiny", "--data {pictures} --out {out} --precision float32 --device cpu --sheet-every 0"),
    "convert": (plain, "diffae.convert", "{ckpt}/last.ckpt {out}", ""),
    "check": (data, "diffae.data.__main__ check", "{faces}", ""),
    "prepare": (data, "diffae.data.__main__ prepare", "{faces} {out}", "--size 8 --workers 1"),
    "portraits": (data, "diffae.data.__main__ portraits", "", "--out {out} --count 2 --size 8 --workers 1"),
    "reconstruct": (images, f"{IMAGES} reconstruct", "{two}", MODEL),
    "vary": (images, f"{IMAGES} vary", "{two}", f"--count 2 {MODEL}"),
    "interpolate": (images, f"{IMAGES} interpolate", "{two}/00.png {two}/01.png", f"--count 3 {MODEL}"),
    "edit": (images, f"{IMAGES} edit", "{two}", f"--attribute Smiling {DIRECTION} {MODEL}"),
    "sample": (images, f"{IMAGES} sample", "", f"--count 2 {MODEL}"),
    "sample-class": (images, f"{IMAGES} sample-class", "", f"--attribute Male --count 2 {DIRECTION} {MODEL}"),
    "learn": (images, f"{IMAGES} learn", "", "--data {faces} --ckpt {ckpt} --out {out}"),
    "compare": (plain, "reports.compare", "{base} {worse}", ""),
    "make": (plain, "reports.make", "{base}", "--out {out}"),
}  # fmt: skip
VERBS = ("reconstruct", "vary", "interpolate", "edit", "sample", "sample-class", "learn")

# Commands (one of the verbs of diffae.images that share an option), options, the value of each, and the effect.
OPTIONS: tuple[tuple[str, str, str, Mapping[str, Any] | str], ...] = (
    ("run", "WHAT", "''", "unknown benchmark ''"),
    ("run", "WHAT", "reconstruction probes", {"benchmarks": ("reconstruction", "probes")}),
    ("run", "WHAT", "reconstruction,probes", {"benchmarks": ("reconstruction", "probes")}),
    ("run", "--ckpt --data --out --save-codes --weights-dir", "''", EMPTY),
    ("run", "--ckpt", "diffae=", "expected SYSTEM=PATH"),
    ("run", "--systems", "''", "--systems: no name given"),
    ("run", "--systems", ",", "--systems: no name given"),
    ("run", "--systems", "dummy-constant", {"key": OTHER, "titles": ["dummy: constant"], "order": SAME}),
    ("run", "--data", "{larger}", {"fields": OTHER, "key": OTHER}),
    ("run", "--crop --precision", "''", "invalid choice"),
    ("run", "--crop", "none", {"crop": "none", "key": OTHER}),
    ("run", "--smallest", "0", "at least 1"),
    ("run", "--smallest", "9999 --data {larger}", "all images of"),
    ("run", "--profile", "''", "unknown profile ''"),
    ("run", "--profile", "quick", {"settings": OTHER}),
    ("run", "--out", "x", {"out": Path("x"), "key": SAME}),
    ("run", "--steps --batch-size", "''", "is not a whole number"),
    ("run", "--steps --limit --batch-size", "0", "at least 1"),
    ("run", "--steps", "1", {"settings.reconstruction.steps": (1,)}),
    ("run", "--steps", "1000,1", {"settings.reconstruction.steps": (1, 1000)}),
    ("run", "--solver", "''", "no solver ''"),
    ("run", "--solver", "ab2-v", {"settings.reconstruction.solver": "ab2-v"}),
    ("run", "--set", "''", "expected TASK.NAME=VALUE"),
    ("run", "--set", "reconstruction.images=", "is not a whole number"),
    ("run", "--set", "reconstruction.images=0", "at least 1"),
    ("run", "--set", "reconstruction.images=1", {"settings.reconstruction.images": 1}),
    ("run", "--axes", "", {"settings.representation.axes": True}),
    ("run", "--limit", "1", {"settings.reconstruction.images": 1, "settings.reconstruction.steps": SAME}),
    ("run", "--limit", "1000000000", {"settings": SAME}),
    ("run", "--attributes", "''", "--attributes: no name given"),
    ("run", "--attributes", "Bald --data {larger}", "has no attribute 'Bald'"),
    ("run", "--attributes", "Bald", {"attributes": ("Bald",)}),
    ("run", "--keep", "''", "is not a whole number"),
    ("run", "--keep", "0", "at least 1"),
    ("run", "--keep", "2,1,2", {"keep": (1, 2), "key": SAME, "fields": SAME}),
    ("run", "--native", "", {"native": True, "key": SAME, "fields": SAME}),
    ("run", "--size", "''", "is not a whole number"),
    ("run", "--size", "0", "at least 1"),
    ("run", "--size", "16", {"fields": OTHER, "key": OTHER, "order": SAME}),
    ("run", "--seed", "0", {"fields": SAME, "key": SAME, "order": SAME}),
    ("run", "--seed", "1", {"fields": OTHER, "key": OTHER, "order": OTHER}),
    ("run", "--seed", f"{10**20 - 1}", {"fields": OTHER, "key": OTHER, "order": OTHER}),
    ("run identity portraits vary", "--seed", "-1", "at least 0"),
    ("run measure train reconstruct identity", "--device", "''", "neither cpu nor cuda"),
    ("run", "--device", "cpu", {"key": SAME}),
    ("run", "--precision", "tf32", {"key": OTHER, "fields": OTHER}),
    ("run", "--batch-size", "1", {"together": 1, "key": SAME, "fields": SAME}),
    ("run", "--weights-dir", "{two}", {"networks": OTHER}),
    ("run", "--allow-unknown-weights", "", {"networks": NetworkChoice(allow_unknown_weights=True)}),
    ("run", "--features", "''", "--features: no name given"),
    ("run", "--features", "inceptoin", "did you mean inception?"),
    ("run", "--features", "inception", {"networks": NetworkChoice(features=("inception",))}),
    ("run", "--features", "inception --stand-ins", "stand-ins alone leave out"),
    ("run", "--stand-ins", "", {"networks": NetworkChoice(stand_ins=True)}),
    ("run", "--protocol", "''", "--protocol: no name given"),
    ("run", "--protocol", "plian", "did you mean plain?"),
    ("run", "--protocol", "titok,plain", {"protocols": ("titok", "plain")}),
    ("run", "--protocol", "e4e-lec", "e4e-lec is a protocol of edits; images have: plain"),
    ("run", "--explain", "", {"explain": True}),
    ("run", "--explain", "--protocol ''", "--protocol: no name given"),
    ("run", "--save-codes", "x", {"save_codes": Path("x"), "key": SAME}),
    ("run", "--save-images", "", {"save_images": True, "key": SAME}),
    ("run", "--fresh", "", {"fresh": True, "key": SAME}),
    ("run", "--dry-run", "", {"dry_run": True}),
    ("weights", "NAMES", "''", "no network ''"),
    ("weights", "NAMES", "efficientnet-lite0", {"stdout": OTHER}),
    ("weights", "--from", "''", EMPTY),
    ("weights", "--from", "{two}", "no file of any network, by its"),
    ("weights", "--accept-licence", "--from {two}", "not allowed with argument"),
    ("doctor", "--weights-dir", "''", EMPTY),
    ("doctor", "--weights-dir", "{two}", {"stdout": OTHER}),
    ("measure", "METRIC", "'' {two} {two}", "unknown metric ''"),
    ("measure", "A", "mse '' {two}", EMPTY),
    ("measure", "B", "mse {two} ''", EMPTY),
    ("measure", "--save --weights-dir", "''", EMPTY),
    ("measure", "--protocol", "''", "--protocol: no name given"),
    ("measure", "--protocol", "plain", "mse: no protocol defines it"),
    ("measure", "--out", "''", EMPTY),
    ("measure", "--out", "{out}", "--out: for --explain only"),
    ("measure", "--which", "''", "unknown metric ''"),
    ("measure", "--which", "psnr=27.43", "--which: takes A and B, and neither METRIC"),
    ("measure", "--of", "1", "at least 2"),
    ("measure", "--of", "2", "--of: for --which only"),
    ("measure", "--subsets", "''", "is not COUNTxSIZE"),
    ("measure", "--subsets", "2x3", "mse is no kernel distance"),
    ("measure", "--reading", "''", "invalid choice"),
    ("measure", "--reading", "pytorch-fid", {"stdout": OTHER}),
    ("measure", "--seed", "-1", "at least 0"),
    ("measure", "--seed", "0", "--seed: not of images"),
    ("measure", "--batch-size", "0", "at least 1"),
    ("measure", "--batch-size", "1", {"stdout": SAME}),
    ("measure", "--limit", "0", "at least 1"),
    ("measure", "--limit", "1", {"stdout": OTHER}),
    ("portraits", "--out", "''", EMPTY),
    ("identity", "--data --out", "''", EMPTY),
    ("identity", "--steps --size", "0", "at least 1"),
    ("convert", "CHECKPOINT", "'' {out}", EMPTY),
    ("convert", "OUT", "{ckpt} ''", EMPTY),
    ("convert", "--run --licence", "''", EMPTY),
    # ---- training
    ("train", "PRESET", "''", "unknown preset ''"),
    ("train", "--data --out --init", "''", EMPTY),
    ("train", "--crop --precision --stages", "''", "invalid choice"),
    ("train", "--seed --workers", "0", {"weights": SAME}),
    ("train", "--seed", "1", {"weights": OTHER}),
    ("train", "--seed", f"{10**20 - 1}", {"weights": OTHER}),
    ("train", "--seed --workers", "-1", "at least 0"),
    ("train", "--set", "''", "expected NAME=VALUE"),
    ("train", "--set", "model.dropout=", "must be a number"),
    ("train", "--set", "model.dropout=0", {"weights": OTHER}),
    ("train", "--set", "image.learning_rate=0", "learning_rate"),
    ("train", "--set", "image.samples=1", "below one batch of 4"),
    ("train", "--init", "{ckpt}", {"weights": OTHER}),
    ("train", "--micro-batch --evaluate-every", "0", "at least 1"),
    ("train", "--micro-batch", "1", {"weights": SAME}),
    ("train", "--recompute", "", {"weights": SAME}),
    ("train", "--dry-run", "--tflops 1", {"stdout": OTHER}),
    ("train", "--gpus --tflops", "0 --dry-run", "at least 1"),
    ("train", "--gpus", "1 --dry-run --tflops 1", {"stdout": Like("train", ONE_GPU)}),
    ("train", "--gpus --tflops", "1", "only with --dry-run"),
    ("train", "--sheet-every", "0", {"names": SAME}),
    ("train", "--sheet-every", "1", {"weights": SAME, "names": OTHER}),
    ("train", "--evaluate --evaluate-profile", "'' --evaluate-every 8", EMPTY),
    ("train", "--evaluate", "probes, --evaluate-every 8", EMPTY),
    ("train", "--evaluate", "probes", "needs --evaluate-every N"),
    # ---- data
    ("check", "PATH --sheet", "''", EMPTY),
    ("check", "--size", "0", "at least 1"),
    ("check", "--size", "8", {"stdout": OTHER}),
    ("check", "--size", "4097", "use 8 to 4096"),
    ("check prepare", "--smallest", "0", "at least 1"),
    ("check prepare reconstruct", "--crop", "''", "invalid choice"),
    ("prepare", "SOURCE", "'' {out}", EMPTY),
    ("prepare", "OUT", "{faces} ''", EMPTY),
    ("prepare", "--size --workers", "0", "at least 1"),
    ("prepare", "--size", "9", {"content": OTHER}),
    ("prepare", "--strict", "", {"content": SAME}),
    ("portraits", "--count --size --workers", "0", "at least 1"),
    ("portraits", "--count", "1", {"count": 1}),
    ("portraits", "--size", "4097", "8 to 4096"),
    ("portraits", "--factors", "yaw", "takes NAME=LEVELS"),
    ("portraits", "--factors", "''", {"content": OTHER}),
    ("portraits", "--seed", "0", {"content": SAME}),
    ("portraits", "--seed", "1", {"content": OTHER}),
    # ---- pictures
    ("reconstruct", "PICTURES --out --ckpt --solver", "''", EMPTY),
    ("reconstruct", "--steps", "0", "at least 1"),
    ("reconstruct", "--steps", "2", {"first": OTHER}),
    ("reconstruct", "--steps", "1001", "at most 1,000"),
    ("vary", "--count", "0", "at least 1"),
    ("vary", "--count", "1", {"first": SAME, "count": 2}),
    ("vary sample sample-class", "--seed", "0", {"first": SAME}),
    ("vary sample sample-class", "--seed", "1", {"first": OTHER}),
    ("interpolate", "--count", "1", "argument --count: must be at least 2"),
    ("interpolate", "--count", "2", {"count": 2}),
    ("edit sample-class", "--attribute", "''", EMPTY),
    ("edit", "--attribute", "Smiling=0", "given twice"),
    ("edit", "--attribute", "Male=0", {"first": SAME}),
    ("edit", "--attribute", "Male=", "must be a number"),
    ("edit", "--strength", "0", {"first": Like("reconstruct")}),
    ("edit", "--strength", "-100", {"first": OTHER}),
    ("edit", "--strength", "101", "must be at most 100"),
    ("edit", "--strength", "''", "must be a number"),
    ("edit", "--classifier", "''", EMPTY),
    ("sample sample-class", "--count", "1", {"first": SAME, "count": 1}),
    ("sample", "--seed", f"{10**20 - 1}", {"first": OTHER}),
    ("sample-class", "--absent", "", {"first": OTHER}),
    ("learn", "--data --with --without", "''", EMPTY),
    # ---- reports
    ("compare", "BASE", "'' {worse}", EMPTY),
    ("compare", "NEW", "{base} ''", EMPTY),
    ("compare", "--junit --page --margins", "''", EMPTY),
    ("compare", "--alpha", "0", "not a number between 0 and 1"),
    ("compare", "--alpha", "1", "not a number between 0 and 1"),
    ("compare", "--alpha", "1e-300", {"status": 0}),
    ("compare", "--allow-missing", "", {"status": 1}),
    ("compare", "--all", "", {"status": 1, "stdout": OTHER}),
    ("make", "RUNS --out", "''", EMPTY),
    ("make", "RUNS", "={base}", "not NAME=RUN"),
    ("make", "--table", "''", EMPTY),
    ("make", "--table", "zzz", "--table: no zzz; there are: "),
    ("make", "--systems", "''", EMPTY),
    ("make", "--systems", "A", "--systems: only with --table"),
    ("make", "--columns", "''", EMPTY),
    ("make", "--columns", "ssim --cite", "--columns: not with --cite"),
    ("make", "--format", "''", "invalid choice: ''"),
    ("make", "--errors", "", "--errors: only with --table"),
    ("make", "--published", "", {"status": 0}),
)  # fmt: skip


TABLE = [
    (command, option, *rest)
    for commands, options, *rest in OPTIONS
    for command in commands.split()
    for option in options.split()
]

# Options without a value that need a run, a browser or a package, and have tests of their own.
ELSEWHERE = {
    ("run", "--verify-data"),
    ("measure", "--allow-unknown-weights"),
    ("measure", "--explain"),
    ("train", "--tensorboard"),
    ("make", "--check"),
    ("make", "--cite"),
}
OWN = {"--attribute", "--count", "--seed", "--data"}  # of several verbs, but not the same option
OF_VERBS = {(verb, option) for verb in VERBS for option in OWN}
ADDED = {"edit": {"--attribute"}}  # flags that may be repeated; others replace those of BASES
OUT = {"learn": "out.safetensors", "identity": "out.safetensors"}


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("ground")
        patch.setenv("DIFFAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        short_preset(patch)
        yield make_ground(root)


@pytest.fixture(scope="module")
def view(ground, tmp_path_factory):
    """The effects of a command line, cached."""

    @cache
    def look(command: str, words: str | None = None, flags: str = "") -> Mapping[str, Any]:
        kind, module, own_words, own_flags = BASES[command]
        out = tmp_path_factory.mktemp("out") / OUT.get(command, "out")
        own, given = shlex.split(own_flags), set(shlex.split(flags)) - ADDED.get(command, set())
        kept = [
            x
            for pair in zip(own[::2], own[1::2], strict=True)
            if pair[0] not in given
            for x in pair
        ]
        line = [*shlex.split(own_words if words is None else words), *kept, *shlex.split(flags)]
        return kind(module.split(), [word.format(out=out, **ground) for word in line], out)

    return look


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-5)
    return bool(a == b)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: " ".join(row[:3])[:60])
def test_a_value_changes_what_it_should(view, row):
    command, option, value, expected = row
    given = {"flags": f"{option} {value}"} if option.startswith("--") else {"words": value}
    seen = view(command, **given)
    if isinstance(expected, str):
        assert expected in seen[REFUSED]
        return
    assert REFUSED not in seen, seen[REFUSED]
    for name, wanted in expected.items():
        if wanted == SAME:
            assert equal(seen[name], view(command)[name]), name
        elif wanted == OTHER:
            assert not equal(seen[name], view(command)[name]), name
        elif isinstance(wanted, Like):
            assert equal(seen[name], view(wanted.command, flags=wanted.flags)[name]), name
            assert not equal(seen[name], view(command)[name]), f"{name} is what it always is"
        else:
            assert seen[name] == wanted, name


def there_are() -> set[tuple[str, str]]:
    """Every option of every command; an option shared by the verbs of diffae.images belongs to the
    first of them.
    """
    found: set[tuple[str, str]] = set()
    shared: set[str] = set()
    for command, (_, module, *_) in BASES.items():
        names = options_of(parser_of(*module.split()))
        if command in VERBS:
            names, shared = names - (shared - OWN), shared | names
        found |= {(command, name) for name in names}
    return found


def test_every_option_is_in_the_table():
    known = {(command, option) for command, option, *_ in TABLE} | ELSEWHERE
    assert sorted(there_are() - known) == [], "in no row"
    assert sorted(known - there_are() - OF_VERBS) == [], "no such option"


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        ("run", ["reconstruction", "--crop", "d2c"], "--crop: says how --data is cut"),
        ("edit", ["{two}", "--attribute=Male=0", "--strength=0"], "--strength: every attribute has"),
    ],
)  # fmt: skip
def test_an_option_that_would_decide_nothing_is_refused(ground, tmp_path, command, words, message):
    kind, module, *_ = BASES[command]
    flags = "" if command == "run" else f"{DIRECTION} {MODEL}"
    line = [*words, *flags.split()]
    line = [word.format(out=tmp_path / "o", **ground) for word in line]
    assert message in kind(module.split(), line, tmp_path)[REFUSED]
