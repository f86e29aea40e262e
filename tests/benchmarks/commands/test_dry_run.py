"""A dry run leaves no trace: no picture is drawn, no file is written."""

import re
from collections import Counter
from contextlib import closing
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from lone_context import small_context
from registered import every_benchmark
from small_systems import SMALL_SIZES, Called, Everything, with_truth, write_people

from benchmarks import evaluate, run, systems
from benchmarks.commands import dry_run, progress
from benchmarks.core.plan import Work
from diffae.data import open_dataset, open_portraits
from diffae.data.portraits import write_dataset
from diffae.data.portraits.write import planned
from diffae.system.errors import UserError
from reports.tables.numbers import duration


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """An empty folder to work in, with the cache in it."""
    monkeypatch.setattr(dry_run, "_cost", lambda context, call: dry_run.Cost(1.0, 1.0))
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_dry_run_draws_no_portraits_and_writes_nothing(nowhere, capsys):
    arguments = ["reconstruction", "fewshot", "--systems", "dummy-perfect", "--profile", "smoke"]
    run.main([*arguments, "--set", "data.portraits=2000", "--dry-run", "--out", "run"])
    assert "data: portraits, 2,000 images, 32 px, crop center" in capsys.readouterr().out
    assert list(nowhere.iterdir()) == []


def test_a_dry_run_reads_the_first_image_of_a_folder_and_writes_nothing(nowhere, patches, capsys):
    sizes = ["--profile", "smoke", "--systems", "dummy-perfect", "--data", str(patches.root)]
    run.main(["reconstruction", *sizes, "--dry-run"])
    assert "150 images" in capsys.readouterr().out
    assert list(nowhere.iterdir()) == []


def test_a_dry_run_says_what_cannot_be_run(nowhere, patches, capsys):
    """Of data without attributes, and of a system that cannot do it; the rest is planned."""
    sizes = ["--profile", "smoke", "--systems", "dummy-perfect,dummy-constant"]
    run.main(
        ["probes", "denoising", "reconstruction", *sizes, "--data", str(patches.root), "--dry-run"]
    )
    said = " ".join(capsys.readouterr().out.split())
    titles = ("dummy: perfect", "dummy: constant")
    unlabelled = [f"not run: probes: {title}: {patches.name} has no attributes" for title in titles]
    lacking = "not run: denoising: dummy: perfect cannot predict an image from a noised one"
    refused = re.findall(r"not run: .*?(?= not run:| calls:)", said)
    assert refused == [*unlabelled, lacking]
    assert "denoising dummy: predict x_0" in said and "reconstruction dummy: perfect encode" in said


# Sizes of which a benchmark needs now more images and now fewer of the same.
SIZES = {
    **SMALL_SIZES,
    "reconstruction.steps": "2,3",
    "reconstruction.beside_steps": "2",
    "edits.directions": "paper,ridge",
}
# Calls of a run that a dry run leaves out: of an incomplete chunk that is computed twice.
SIZES_OF_A_CONTEXT = {
    **SMALL_SIZES,
    "reconstruction.steps": (2, 3),
    "reconstruction.beside_steps": (2,),
}
TWICE = {
    "interpolation": {("encoder", None): 8, ("decoder", 4): 8 * 4},
    "latent": {("encoder", None): 30},
}
OF_SYSTEMS = ("encoder", "decoder", "latent")


@pytest.fixture
def calls_of(nowhere, tmp_path_factory, monkeypatch, capsys, no_effnet, short_fits):
    """The calls of a system's networks by a benchmark and T, as a dry run says, and as a run makes them."""
    data = write_people(tmp_path_factory.mktemp("people") / "portraits")
    with_truth(monkeypatch)

    work: list[Work] = []
    collect = dry_run.collect
    monkeypatch.setattr(dry_run, "collect", lambda *how: noted(collect(*how)))

    def noted(found):
        work[:] = [one for *_, one in found[0]]
        return found

    def counted(task):
        sizes = [f"--set={name}={value}" for name, value in SIZES.items()]
        words = ["--systems", "small_systems:called", "--data", str(data), "--profile", "smoke"]
        run.main([task, *words, *sizes, "--dry-run"])
        out = capsys.readouterr().out
        said = " ".join(re.search(r"^calls: ([^;]+);", out, re.M)[1].split())
        assert said != "none", out
        whole = Counter({n: int(k.replace(",", "")) for n, k in map(str.split, said.split(", "))})
        planned = Counter[tuple[str, int | None]]()
        for one, name in product(work, OF_SYSTEMS):
            steps = None if name == "encoder" else one.steps
            planned[name, steps] += one.images * getattr(one.calls, name)
        found = of_any_steps(planned)
        assert all(found[name] == whole[name] for name in OF_SYSTEMS)
        Called.calls.clear()
        evaluate(Called(), task, data, "smoke", settings=SIZES, progress=False)
        return planned, Counter(Called.calls)

    return counted


def of_any_steps(calls):
    found = Counter()
    for (name, _), count in calls.items():
        found[name] += count
    return found


def test_a_dry_run_counts_the_calls_of_a_run(calls_of):
    """Of each benchmark at each T, beside those by which a system of others is tried first. Without a
    folder for pictures none are decoded.
    """
    planned, made = calls_of("probes")
    assert +planned == {("encoder", None): 60 + 10 + 30}
    tried = made - planned
    for task in every_benchmark():
        planned, made = calls_of(task)
        made.subtract(tried)
        made.subtract(TWICE.get(task, {}))
        if task == "cost":  # what is timed at one T begins with a code of another
            planned, made = (of_any_steps(calls) for calls in (planned, made))
        assert {k: n for k, n in made.items() if n} == +planned, task


def test_work_on_real_images_alone_is_counted_once_for_all_systems(nowhere, tmp_path, no_effnet):
    """Of each benchmark, and of all together: their features, their faces, their thumbnails."""
    data = open_dataset(write_people(tmp_path / "people" / "portraits"), 16)
    context = small_context(data, tmp_path / "run", SIZES_OF_A_CONTEXT)
    both = [systems.as_system(one) for one in (Everything(), Called())]
    every = every_benchmark()
    for names in (*((name,) for name in every), every):
        of_one, of_two = (dry_run.collect(context, names, some)[0] for some in (both[:1], both))
        real = [(name, one) for name, _, one in of_one if one.real]
        assert real == [(name, one) for name, _, one in of_two if one.real], names
        assert len(of_two) == 2 * len(of_one) - len(real), names
    assert len(real) >= 5


def test_the_time_left_is_that_of_the_calls_that_are_left(context, monkeypatch, capsys):
    """40 images are noised to two times, a call each; what a system takes besides is worth 500."""
    now = [0.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    evaluation = SimpleNamespace(context=context, systems=[systems.load("ddim")])
    with closing(progress.CommandProgress(evaluation, ["denoising", "memorisation"])) as bar:
        first = 500 + 2 * 40
        assert bar.left["denoising", "DDIM"] == first
        bar.begins("denoising")
        now[0] += 30
        bar.ends("denoising", 30.2)
        share = first / bar.total
        left = 30 * (1 / share - 1)
        bar.begins("memorisation")
        bar.ends("memorisation", 1.2)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"denoising: 30 s; {100 * share:.0f} % done, about {duration(left)} left",
        "memorisation: 1 s",
    ]


def test_planned_portraits_are_the_ones_that_would_be_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path))
    write_dataset(tmp_path / "drawn", 60, 32, workers=1)
    drawn, undrawn = open_dataset(tmp_path / "drawn", 32), planned(60, 32)
    assert undrawn.attribute_names == drawn.attribute_names
    for name in ("partition", "attributes", "identities"):
        assert np.array_equal(getattr(undrawn, name), getattr(drawn, name)), name
    assert planned(9, 32).name == open_portraits(9, 32).name
    for name in ("transform", "partition_source"):
        assert getattr(undrawn, name) == getattr(drawn, name), name
    with pytest.raises(UserError, match="not drawn"):
        undrawn.batch([3])
    with pytest.raises(UserError, match="not drawn"):
        _ = undrawn.fingerprint
