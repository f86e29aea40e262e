"""The harness from the command line: whole runs of untrained models, and bad input."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial

import in_process
import pytest
import torch
from colours import no_effnet
from PIL import Image
from registered import every_benchmark, solvers
from short_fits import short_fits

from benchmarks.core.registry import REGISTRY
from benchmarks.metrics import METRICS
from benchmarks.run import main
from diffae.data.portraits import write_dataset
from diffae.diffusion.scheme import find
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.train.presets import PRESETS
from reports import page
from reports.records.estimate import Estimate
from reports.records.record import Record, read_records

command = partial(in_process.command, main)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def ran(cache, data, folder, *words) -> list[Record]:
    """The records of a small run in `folder`, without a page."""
    words = (*words, "--profile", "smoke", "--data", data, "--out", folder)
    with no_effnet(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "write", lambda *_: None)
        result = command(*words, cache=cache)
    assert result.returncode == 0, result.stderr
    return read_records(folder / "records.csv")


def protocols_of(folder) -> dict[str, dict]:
    return json.loads((folder / "run.json").read_text())["protocols"]


def pick(records: list[Record], **fields) -> Record:
    found = [r for r in records if all(getattr(r, k) == v for k, v in fields.items())]
    assert len(found) == 1, f"{len(found)} records with {fields}"
    return found[0]


# ----------------------------------------------------------------------------------------------
# Real models, untrained: the run folder, resuming, processes


@pytest.fixture(scope="module")
def everything(portraits, untrained):
    """The words of a run of all benchmarks of both models, but for its folder."""
    models = ("--ckpt", untrained / "diffae", "--ckpt", f"ddim={untrained / 'ddim'}")
    return ("all", "--profile", "smoke", "--data", portraits, *models, "--out")


FEWER = {
    "reconstruction.images": 8,
    "identity.images": 4,
    "latent.images": 8,
    "samples.count": 32,
    "probes.train": 160,
    "fewshot.pool": 32,
    "fewshot.reference": 64,
    "unconditional.reference": 64,
    "memorisation.train": 64,
}


@pytest.fixture(scope="module")
def small(cache, everything):
    """Run all benchmarks of fewer images in a folder, with features that cost nothing and
    classifiers that learn little.
    """
    fewer = [word for name, count in FEWER.items() for word in ("--set", f"{name}={count}")]

    def run(out, *words):
        with no_effnet(), short_fits():
            return command(*fewer, *everything, out, *words, cache=cache)

    return run


@pytest.fixture(scope="module")
def run(cache, small):
    """The folder of a run, and what it said."""
    out = cache / "run"
    result = small(out)
    assert result.returncode == 0, result.stderr
    return out, result


def test_references_have_the_size_and_shape_of_the_checkpoint(cache, portraits, tmp_path):
    """Of the autoencoder that they stand beside, in whichever order they are named."""
    torch.manual_seed(0)
    narrow = {"model_channels": 8, "channel_mult": (1, 1), "attention_resolutions": ()}
    encoder = {"encoder_channel_mult": (1, 1, 1), "z_channels": 24}
    config = replace(PRESETS["smoke"].model, latent=None, **narrow, **encoder)
    DiffusionAutoencoder(config).save_pretrained(tmp_path / "model")
    words = ("cost", "--systems", "random-encoder,pixels-pca,diffae", "--ckpt", tmp_path / "model")
    sizes = ("--set", "data.fit_images=40", "--set", "cost.repeats=1", "--set", "cost.batch=1")
    found = ran(cache, portraits, tmp_path / "run", *words, "--steps", "2", *sizes)
    of_model, of_reference = (
        pick(found, metric="parameters", setting="encoder", system=system).value
        for system in ("DiffAE", "random encoder")
    )
    assert of_model == of_reference
    weights = json.loads((tmp_path / "run" / "run.json").read_text())["weights"]
    assert weights["pixels-pca"].startswith("incremental-pca-24-")


@pytest.fixture(scope="module")
def whole_run(everything, tmp_path_factory):
    """The folder of a run of the whole profile with nothing replaced, as real processes compute it; its cache."""
    cache = tmp_path_factory.mktemp("whole")
    result = command(*everything, cache / "run", cache=cache)
    assert result.returncode == 0, result.stderr
    return cache / "run", cache


def test_every_number_can_be_traced_to_its_protocol(run):
    out, _ = run
    protocols, records = protocols_of(out), read_records(out / "records.csv")
    assert {record.benchmark for record in records} == set(REGISTRY.names())
    for record in records:
        if record.value is not None:
            assert protocols[record.protocol]["benchmark"] == record.benchmark
            assert record.n


def test_every_number_that_chance_has_a_part_in_has_an_error_and_its_interval(run):
    records = [r for r in read_records(run[0] / "records.csv") if r.value is not None]
    exact = {r.metric for r in records if METRICS[r.metric].is_exact}
    exact |= {"direction_consistency"}  # of one division of the training images
    # without a truth, of the few people that have an attribute, or lack it
    measured = [r for r in records if r.benchmark != "edits" or r.metric == "direction_consistency"]
    # of so few images no percentile has an error, and what guessing gives is exact
    told = [r for r in measured if r.setting != "5th percentile" and r.system != "chance"]
    shares = {f"{name}_effnet" for name in ("precision", "recall", "density", "coverage")}
    without = {r.metric for r in told if r.stderr is None}
    assert exact <= without <= exact | shares | {"fd_effnet"}  # where smoke's few images allow none
    for r in measured:
        if r.stderr is not None:
            assert r.ci_low <= r.value - 1.9 * r.stderr <= r.value + 1.9 * r.stderr <= r.ci_high


def test_every_benchmark_takes_its_steps_by_the_solver_of_its_profile(run):
    taken = {(r.benchmark, r.solver) for r in read_records(run[0] / "records.csv") if r.steps}
    assert taken == {
        (task, str(find(name or "ddim"))) for task in every_benchmark() for name in solvers(task)
    }


def test_every_row_without_a_value_says_why(run):
    records = read_records(run[0] / "records.csv")
    assert all(record.value is not None or record.note for record in records)


def test_no_metric_is_named_after_a_network_that_is_not_there(run):
    records = read_records(run[0] / "records.csv")
    assert not {"fid", "lpips", "arcface", "ppl"} & {record.metric for record in records}


@pytest.mark.slow
def test_the_same_command_again_gives_the_same_bytes(whole_run, everything):
    out, cache = whole_run
    files = (out / "records.csv", out / "times.csv")
    before = [path.read_bytes() for path in files]
    assert command(*everything, out, cache=cache).returncode == 0
    assert [path.read_bytes() for path in files] == before


@pytest.fixture(scope="module")
def with_errors(whole_run, everything):
    """The words of a run whose Frechet distances have errors, and its folder."""
    _, cache = whole_run
    words = ("--set", "fewshot.frechet_error=true", "--set", "unconditional.frechet_error=true")
    words, out = (*words, *everything), cache / "with-errors"
    assert command(*words, out, cache=cache).returncode == 0
    return words, out


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_any_number_of_processes_gives_the_same_bytes(processes, with_errors, tmp_path):
    words, out = with_errors
    process = in_process.start(*words, tmp_path / "run", cache=tmp_path, processes=processes)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    for name in ("records.csv", "influences.npz"):
        assert (tmp_path / "run" / name).read_bytes() == (out / name).read_bytes()
    assert errors.count("data: ") == len(re.findall(r"^cost: \d+ s", errors, re.M)) == 1


NUMBERS = ("value", "stderr", "ci_low", "ci_high")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chunk", "flags", "size"),
    [
        (64, ["--batch-size", "23"], 23),  # a chunk in parts
        (17, ["--batch-size", "60"], 60),  # three chunks together
    ],
)
def test_the_batch_size_changes_no_number(chunk, flags, size, whole_run, tmp_path, everything):
    """Against chunks of 64 images, which are the batches of every network there."""
    (tmp_path / "chunks.py").write_text(
        "import benchmarks.core.store\n\n"
        f"benchmarks.core.store.CHUNK = {chunk}\n"
        "from benchmarks import run\n"
        "from diffae.system import cli\n\n"
        "cli.run(run.main)\n"
    )
    result = subprocess.run(
        [sys.executable, tmp_path / "chunks.py", *everything, tmp_path / "run", *flags],
        env=in_process.environment(tmp_path), capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert (
        list(tmp_path.glob(f"store/sample-*/{chunk:08d}-{min(2 * chunk, 64):08d}.npz"))
        or chunk == 64
    )
    assert json.loads((tmp_path / "run" / "run.json").read_text())["batch_size"] == size
    theirs = read_records(whole_run[0] / "records.csv")
    for ours, other in zip(read_records(tmp_path / "run" / "records.csv"), theirs, strict=True):
        unmeasured = Estimate(None)
        assert replace(ours, estimate=unmeasured) == replace(other, estimate=unmeasured)
        assert ours.n == other.n
        size = _size(other, theirs)
        for name in NUMBERS:
            mine, his = getattr(ours, name), getattr(other, name)
            assert mine == (his if his is None else pytest.approx(his, rel=1e-5, abs=size)), ours


def _size(record: Record, others: list[Record]) -> float:
    """What a number may change by: 10^-5, relative to what it was computed from.

    A standard deviation of a few numbers that differ little is their difference, in which each of
    them counts with its own size: distances of 200 that are right to six digits have a standard
    deviation of 10 that is right to four.
    """
    if not record.metric.endswith("_seed_std"):
        return 1e-5
    fields = {name: getattr(record, name) for name in ("benchmark", "system", "setting", "steps")}
    distance = pick(others, metric=record.metric.removesuffix("_seed_std"), **fields)
    return 1e-5 * max(1.0, distance.value)


def test_a_baseline_does_not_stand_in_for_one_that_was_not_given(
    cache, portraits, untrained, tmp_path
):
    words = (
        "reconstruction",
        "--ckpt",
        untrained / "diffae",
        "--systems",
        "diffae,ddim",
        "--limit",
        "4",
    )
    record = pick(ran(cache, portraits, tmp_path / "run", *words), system="DDIM")
    assert record.value is None
    assert "--ckpt ddim=PATH" in record.note


def test_several_checkpoints_of_one_system_are_rows_of_their_own(
    cache, portraits, untrained, tmp_path
):
    records = ran(
        cache, portraits, tmp_path / "run", "probes", "--systems", "diffae", "--crop", "none",
        "--ckpt", untrained / "diffae", "--ckpt", f"diffae:Again 64D={untrained / 'diffae'}",
    )  # fmt: skip
    values = [
        pick(records, system=system, metric="auroc", setting="mean").value
        for system in ("DiffAE", "Again 64D")
    ]
    assert values[0] == values[1]
    protocols = protocols_of(tmp_path / "run").values()
    assert {protocol["transform"]["crop"] for protocol in protocols} == {"none"}


# ----------------------------------------------------------------------------------------------
# Bad input


def refused(cache, *arguments):
    out = cache / "refused"
    result = command("all", "--systems", "dummy-perfect", "--out", out, *arguments, cache=cache)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert not out.exists()
    return result.stderr


def test_images_smaller_than_the_checkpoint(cache, tmp_path):
    for i in range(20):
        Image.new("RGB", (16, 16), (i, 0, 0)).save(tmp_path / f"{i}.png")
    message = refused(cache, "--data", tmp_path)
    assert "has images of 16 px, but " in message
    assert message.endswith(" takes 32 px; give larger images or a smaller model\n")


def test_a_corrupt_image_is_named(cache, portraits, tmp_path):
    write_dataset(tmp_path / "set", 40, 32, workers=1)
    for path in (tmp_path / "set" / "img_align_celeba").glob("*.png"):
        if path.name != "000001.png":
            path.write_bytes(path.read_bytes()[:100])
    result = command(
        "reconstruction", "--profile", "smoke", "--systems", "dummy-perfect",
        "--data", tmp_path / "set", "--out", tmp_path / "run", cache=cache,
    )  # fmt: skip
    assert result.returncode == 2
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ") and ".png" in last and str(tmp_path / "set") in last


def test_checkpoints_of_different_sizes(cache, portraits, untrained, tmp_path):
    model = DDIM(replace(PRESETS["portraits-ddim"].model, image_size=16))
    model.save_pretrained(tmp_path / "ddim16")
    records = ran(
        cache, portraits, tmp_path / "run", "reconstruction", "--steps", "2", "--limit", "4",
        "--systems", "diffae,ddim", "--ckpt", untrained / "diffae", "--ckpt", tmp_path / "ddim16",
    )  # fmt: skip
    protocols = protocols_of(tmp_path / "run")
    models = {
        r.system: protocols[r.protocol].get("model", {}) for r in records if r.metric == "mse"
    }
    assert models["DiffAE"]["run_at"] == 32 and models["DiffAE"]["compared_at"].startswith("16")
    assert "run_at" not in models["DDIM"]


def test_unlabelled_images_run_what_needs_no_labels(cache, portraits, untrained, tmp_path):
    words = ("reconstruction", "probes", "--systems", "dummy-perfect")
    records = ran(cache, portraits / "img_align_celeba", tmp_path / "run", *words)
    assert pick(records, benchmark="reconstruction", metric="ssim").value == pytest.approx(1)
    assert "has no attributes" in pick(records, benchmark="probes").note
