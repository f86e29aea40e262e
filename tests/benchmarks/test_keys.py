"""Numbers depend on all settings, whatever the store holds: what A and B have under one key is the same.

Each setting of the profiles and each argument of `evaluate` is changed alone. What was measured
before must not be seen in the numbers. It would be, if a setting were missing from a key of the store.
"""

import inspect
import json
from dataclasses import fields
from tempfile import TemporaryDirectory

import pytest
from noting import Noting
from registered import changed, every_benchmark, every_setting, solvers
from small_systems import (
    SMALL_SIZES,
    Everything,
    Plain,
    Tokens,
    networks_of_files,
    with_truth,
    write_others,
    write_people,
    write_weights,
)
from torch.nn import functional as F

from benchmarks import api, evaluate
from benchmarks.core import store
from benchmarks.runtime.choices import TaskOptions
from benchmarks.systems import Code
from benchmarks.tasks import representation
from reports.records.record import COLUMNS, read_records
from reports.records.settings import STEPS

# Settings of A: small, and such that every setting matters.
SMALL = {
    **SMALL_SIZES,
    "data.portraits": 20,
    "data.fit_images": 64,
    "latent.bits": (2, 3),
    "latent.space": 50,
    "latent.numbers": ("code_fd", "viv"),
    "unconditional.overlap": 3,  # too few: it takes most of the time
}
# The benchmarks that read a setting, or a section, which is not a benchmark's alone.
READERS = {
    "data": ("reconstruction",),
    "samples": ("unconditional", "memorisation"),
    "probes.train": ("probes", "identity", "fewshot"),
}
# Numbers in which a difference of one is not seen.
FAR = {
    "edits.calibration": 6,
    "edits.times": 10,
    "edits.classifier": 20,
    "probes.valid": 4,
    "memorisation.train": 100,
    "fewshot.pu_unlabeled": 60,
}
OF_TIMES = {"cost.batch", "cost.timed_steps", "cost.repeats"}  # of the numbers of a machine
SETTINGS = {**every_setting(), **SMALL}
del SETTINGS["representation.grid"]  # of numbers of axes, which take long: test_representation.py
del SETTINGS["latent.pixels"]  # it lowers counts of more than 64 images: commands/test_dry_run.py
ALL = every_benchmark()


class Ground:
    """Runs on a small data set, each in a store of its own; A is measured once."""

    def __init__(self, folder):
        self.folder, self.cache = folder, folder / "cache"
        self.data = write_people(folder / "portraits")
        write_others(self.data, folder / "others")
        write_weights(folder / "weights", b"0")
        self.known = {}

    def given(self, value):
        """What a word of the tables stands for: a folder, if it is called so."""
        if isinstance(value, str) and (self.folder / value).is_dir():
            return self.folder / value
        return value

    def run(self, tasks, store, change=None, cache=True, **arguments):
        """Measure with a folder as DIFFAE_CACHE, using its store or, without `cache`, a new one."""
        asked = {"model": Everything(), "data": self.data, "progress": False} | arguments
        sizes = {**SMALL, **(change or {})}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DIFFAE_CACHE", str(store))
            return evaluate(tasks=tasks, profile="smoke", settings=sizes, cache=cache, **asked)

    def other(self, tasks, of_a=None, **change):
        """A, and B in a new store: where both have a key, the arrays are the same."""
        key = repr((tasks, of_a))
        if key not in self.known:
            self.known[key] = self.run(tasks, self.cache, cache=False, **(of_a or {}))
        return self.known[key], self.run(tasks, self.cache, cache=False, **change)

    def after(self, tasks, **change):
        """A, and B in A's store."""
        with TemporaryDirectory(dir=self.folder) as store:
            return self.run(tasks, store), self.run(tasks, store, **change)


def whole(results):
    """All that is known of the numbers: cells, protocols, influences and scores of images."""
    return [
        {name: repr(value) for name, value in vars(row).items()}
        | {"influences": [(s.units, s.values.tolist()) for s in row.estimate.influences]}
        | {"scores": scores and [scores.images.tolist(), scores.values.tolist()]}
        for row in results.rows
        for scores in [row.estimate.scores]
    ]


def values(results):
    return [(row.value, row.stderr) for row in results.rows]


@pytest.fixture(scope="module")
def ground(tmp_path_factory, no_effnet, short_fits):
    with pytest.MonkeyPatch.context() as patch:
        networks_of_files(patch)
        with_truth(patch)
        patch.setattr(representation, "OF_AXES", ("tad", "mig", "infoe"))  # the others take seconds
        patch.setattr(api, "MemoryStore", Noting)
        patch.setattr(Noting, "known", {})
        yield Ground(tmp_path_factory.mktemp("keys"))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_changed_setting_is_measured_anew(name, ground):
    section, value = name.partition(".")[0], SETTINGS[name]
    change, of_a = {"change": {name: FAR.get(name) or changed(name, value)}}, {}
    if name == "data.portraits":
        change["data"] = None
    elif name == "data.fit_images":
        change["model"] = of_a["model"] = [Everything(), "pixels-pca"]
    elif name == "edits.images":  # of protocols, as these people have a truth
        change["protocol"] = of_a["protocol"] = "e4e-lec,counterfactual-benchmark"
    elif name == "unconditional.overlap":
        change["change"], of_a["change"] = {name: 21}, {name: 20}
    elif name in ("latent.share", "latent.neighbours"):
        change["model"] = of_a["model"] = Tokens()
    tasks = READERS.get(name) or READERS.get(section, (section,))
    if name in OF_TIMES:  # which are never twice the same: those of A must not be B's
        a, b = ground.after(tasks, **change)
        assert values(a) == values(b)
        assert [row.value for row in a.times] != [row.value for row in b.times]
        return
    a, b = ground.other(tasks, of_a, **change)
    assert values(b) != values(a)


LEVELS = [
    name
    for name, value in SETTINGS.items()
    if isinstance(value, float) or (isinstance(value, tuple) and isinstance(value[0], float))
]


@pytest.mark.parametrize("name", LEVELS)
def test_a_number_that_prints_alike_is_another(name, ground):
    """Also beside the first, of which it must not take the place."""
    value = SETTINGS[name]
    close = value * (1 + 1e-7) if isinstance(value, float) else (value[0], value[0] * (1 + 1e-7))
    of_a = {"model": Tokens()} if name == "latent.share" else {}
    a, b = ground.other((name.partition(".")[0],), of_a, change={name: close}, **of_a)
    if not isinstance(value, float) and name != "edits.strengths":  # which no row is named after
        assert len({row.setting for row in b.rows} - {row.setting for row in a.rows}) > 0


def test_every_section_has_readers():
    sections = {name.partition(".")[0] for name in SETTINGS}
    assert sections == {*ALL, *(name for name in READERS if "." not in name)}


class Cut(Plain):
    """It decodes the first number of its code alone, or the first two."""

    lengths = (1, 2)

    def solving(self, solver):
        found = super().solving(solver)
        found.__class__ = Cut
        return found

    def decode(self, code, steps=100, keep=None):
        return super().decode(Code(F.pad(code.semantic[:, :keep], (0, 12 - (keep or 12)))), steps)


IMAGES = ("reconstruction", "denoising")
# What else `evaluate` takes: B's value, the benchmarks, and other arguments of A and of B.
ARGUMENTS = {
    "data": ("others", IMAGES, {}),
    "attributes": ("Smiling", ("identity", "edits"), {"attributes": "Male", "protocol": "e4e-lec"}),
    "crop": ("center-bicubic", IMAGES, {}),
    "features": ("efficientnet-lite0", ("unconditional",), {"weights_dir": "weights"}),
    "stand_ins": (True, ("variation",), {"weights_dir": "weights"}),
    "keep": (2, ("reconstruction",), {"model": Cut(), "keep": 1}),
    "protocol": ("plain", ("reconstruction",), {}),
    "explain": (True, ("reconstruction",), {}),
    "axes": (True, ("representation",), {}),
}
OF_ALL = "in test_same_key.py"
# Those that are not changed above, and why.
ELSEWHERE = {
    "tasks": "each test names them",
    "profile": "its settings are above, one by one",
    "settings": "above, one by one",
    "limit": "sets counts, as settings do",
    "steps": "sets steps, as settings do",
    "solver": "sets solvers, as settings do",
    "model": f"{OF_ALL}, as its weights",
    "precision": OF_ALL,
    "seed": OF_ALL,
    "size": "tests/benchmarks/core/test_comparison_size.py",
    "smallest": "an option of the transform, which is in every key: tests/diffae/test_data_check.py",
    "weights_dir": OF_ALL,
    "allow_unknown_weights": "goes with weights_dir",
    "cache": "is what is tested here",
    "device": "there is one here",
    "batch_size": "no number depends on it: tests/benchmarks/core/test_batches.py",
    "out": "no number depends on it",
    "save_images": "no number depends on it",
    "save_codes": "no number depends on it",
    "progress": "no number depends on it",
}


# Switches of benchmarks that are in no table: they need no entry.
SWITCHES = {f.name for f in fields(TaskOptions) if f.default is False} - {*ARGUMENTS, *ELSEWHERE}


def test_every_argument_is_changed_or_explained(ground):
    """A switch that decides numbers is in the protocol of every one."""
    given = inspect.signature(evaluate).parameters.keys() - SWITCHES
    assert given == ARGUMENTS.keys() | ELSEWHERE.keys()
    for name in SWITCHES:
        if TaskOptions(**{name: True}).deciding:
            a, b = ground.other(("denoising",), **{name: True})
            assert all(fields[name] for fields in b.protocols.values()), name
            assert not {row.protocol for row in a.rows} & {row.protocol for row in b.rows}, name


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_changed_argument_is_measured_anew(name, ground, capable):
    value, tasks, of_a = ARGUMENTS[name]
    of_a = {key: ground.given(given) for key, given in of_a.items()}
    if "weights_dir" in of_a:
        of_a["allow_unknown_weights"] = True
    a, b = ground.other(tasks, of_a, **{**of_a, name: ground.given(value)})
    assert values(b) != values(a)


@pytest.mark.parametrize("task", ALL)
def test_the_solver_and_the_steps_that_are_asked_for_are_those_of_every_row(task, ground):
    """Also of the samples, whose settings are no benchmark's own."""
    others = {"reconstruction.beside": "dpm++2m", "reconstruction.beside_steps": (3,)}
    others |= {name: 3 for name in SETTINGS if name.endswith(".steps") and name not in STEPS}
    found = ground.run(
        (task,), ground.folder / "empty", others, cache=False, solver="dpm++2m", steps=3
    )
    used = {(row.solver, row.steps) for row in found.rows if row.steps is not None}
    assert used == {("dpm++2m" if name else "ddim", 3) for name in solvers(task)}


@pytest.mark.parametrize("task", ALL)
def test_more_images_are_measured_as_if_fewer_had_not_been(task, ground, monkeypatch):
    """Nothing in a chunk that fewer images have filled may depend on how many there are."""
    monkeypatch.setattr(store, "CHUNK", 4)
    models, fewer = [Everything(), Tokens()], 5
    sizes = {
        "identity.images": 6,
        "reconstruction.steps": (2,),
        "reconstruction.beside_steps": (2,),
    }
    with TemporaryDirectory(dir=ground.folder) as kept:
        ground.run((task,), kept, sizes, model=models, limit=fewer)
        after = ground.run((task,), kept, sizes, model=models)
        fresh = ground.run((task,), kept, sizes, model=models, cache=False)
    assert whole(after) == whole(fresh)


def test_seed_0_and_what_is_off_or_empty_is_in_the_run_folder(ground, tmp_path):
    found = ground.run(("denoising",), tmp_path, seed=0, stand_ins=False, out=tmp_path / "run")
    for row, kept in zip(found.rows, read_records(tmp_path / "run" / "records.csv"), strict=True):
        for name in COLUMNS:
            value = getattr(row, name)
            value = pytest.approx(value, rel=1e-9) if name in ("ci_low", "ci_high") else value
            assert getattr(kept, name) == value, name
    notes = json.loads((tmp_path / "run" / "run.json").read_text())
    settings = notes["settings"]
    assert (settings["seed"], settings["attributes"]) == (0, [])
    assert settings["profile"]["sections"]["probes"]["adam_paper"] is False
    assert settings["metric_networks"]["stand_ins"] is False
    assert all(fields["seed"] == 0 for fields in notes["protocols"].values())
