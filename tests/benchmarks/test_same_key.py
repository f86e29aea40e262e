"""What has the same key in the store is the same: twice in a run, and in runs that differ in one input.

All benchmarks run together, so that this holds for every key of every benchmark, however a number is
made of it.
"""

import shutil

import pytest
from noting import Noting
from registered import changed, every_benchmark, every_setting
from small_systems import (
    SMALL_SIZES,
    Everything,
    Plain,
    Tokens,
    networks_of_files,
    with_truth,
    write_labels,
    write_others,
    write_people,
    write_strangers,
    write_weights,
)
from torch.nn import functional as F

from benchmarks import api, evaluate, weights
from benchmarks.metrics import METRICS
from reports import page

SMALL = {
    **SMALL_SIZES,
    "data.portraits": 20,
    "reconstruction.steps": (2, 3),
    "reconstruction.beside_steps": (2,),
    "probes.adam_paper": True,
    "identity.strengths": (0.3,),
    "fewshot.reference": 60,
    "fewshot.seeds": 2,
    "fewshot.frechet_error": True,
    "samples.steps": (2, 3),
    "unconditional.overlap": 10,
    "denoising.timesteps": (300, 700),
}
ALL = every_benchmark()
NETWORKS = ("inception", "alexnet", "vgg16", "arcface")  # of files, which decide numbers


class Learned(Everything):
    """Its codes, too, are by its weights."""

    def solving(self, solver):
        found = super().solving(solver)
        found.__class__ = Learned
        return found

    def encode_semantic(self, images):
        return self.net(super().encode_semantic(images)).tanh()


class Runs:
    """Runs on small data, all of whose keys are compared."""

    def __init__(self, folder):
        self.models = [Learned(), Tokens()]
        self.data = write_people(folder / "portraits")
        self.weights = write_weights(folder / "weights", b"0")

    def run(self, tasks=ALL, change=(), **arguments):
        """The rows of each benchmark. Raises AssertionError if a key has two meanings."""
        given = {"weights_dir": self.weights, "allow_unknown_weights": True, "cache": False}
        given |= {"attributes": ["Male", "Smiling"], "data": self.data, "model": self.models}
        settings = {**SMALL, **dict(change)}
        given |= {"profile": "smoke", "settings": settings, "progress": False, **arguments}
        rows = evaluate(tasks=tasks, **given).rows
        return {name: [row for row in rows if row.benchmark == name] for name in tasks}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, no_effnet, short_fits):
    with pytest.MonkeyPatch.context() as patch:
        networks_of_files(patch)
        with_truth(patch)
        patch.setattr(page, "write", lambda *_: None)  # which reads what the runs have computed
        patch.setattr(api, "MemoryStore", Noting)
        patch.setattr(Noting, "known", {})
        yield Runs(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def first(runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Noting, "again", True)
        return runs.run()


def test_within_a_run(first, runs, tmp_path, monkeypatch):
    """Also of pictures, which have keys of their own."""
    monkeypatch.setattr(Noting, "again", True)
    tasks = ["reconstruction", "fewshot", "memorisation"]
    assert kept(first, runs.run(tasks, out=tmp_path)) == set(tasks)


def test_of_other_images_in_a_picture(first, runs, tmp_path):
    """Other latents are accepted, and other samples are nearest to the training images."""
    for number, images in enumerate((5, 8, 11)):
        change = {"fewshot.binary_k": images, "memorisation.train": 4 * images}
        runs.run(["fewshot", "memorisation"], change, out=tmp_path / str(number))


# What says how something is computed, and no run changes: the parts of keys by the kind of work.
HOW = {
    "features": ("feature_network", "feature_sha256", "feature_resize", "feature_dtype"),
    "read": ("reading", "weights", "data", "transform"),
    "semantic": ("weights", "data", "transform"),
    "code": ("solver", "steps", "weights", "data", "transform"),
    "distance in parts": ("blocks", "sample_blocks", "reference_blocks", "metric", "error"),
    "probe": ("probe", "grid", "labels", "reading", "weights"),
    "path": ("epsilon", "t", "semantic", "x_T", "decoding_dtype", "percentiles"),
    "strips": ("epsilon", "decoding_dtype"),
    "sample": ("pixels", "features", "decoding_steps", "seed", "solver"),
    "pixels": ("size",),
    "nearest": ("scale", "queries", "feature_sha256", "data", "weights"),
    "faces": ("face",),
    "decoded faces": ("edit", "probe", "strength", "identity_sha256"),
    "edited images": ("times", "chosen", "truth", "decoding_steps", "identity_sha256"),
    "truths": ("attribute", "on", "chosen", "classifier", "identity_sha256"),
    "edits": (
        "attribute",
        "on",
        "direction",
        "strengths",
        "probe",
        "chosen",
        "classifier",
        "identity_sha256",
    ),
    "small pixels": ("side",),
    "codebooks": ("tokens of",),
    "variation": ("varies", "draws", "pairs", "weights"),
    "denoising": ("t", "semantic", "x_0", "ssim"),
    "autoencoded": ("autoencoding_split", "features", "decoding_steps"),
    "latent": ("training", "moves", "decoding_steps"),
    "few-shot-logits": ("scenario", "steps", "decay", "members", "weights", "pixels", "seed"),
    "times": ("batch_size", "threads", "repeats", "device_name", "torch"),
    "flops": ("image_size", "T", "setting"),
}


def test_a_key_says_how(first):
    """Nothing of this is changed by an argument: by another version of the code it may be."""

    def names_in(key):
        """The names in a key, and in those of the jobs that it takes."""
        inputs = [*key.get("rows of", ()), *(folder for folder, _ in key.get("takes", ()))]
        names = {*key, *key.get("fields", {})}
        return names.union(*(names_in(Noting.folders[folder]) for folder in inputs))

    found: dict[str, set[str]] = {}
    for key in Noting.keys:
        names = names_in(key)
        found.setdefault(key["work"], set()).update(names)
        if "transform" in key or "system" in key:
            assert {"device", "precision"} <= names, key
    lacking = {work: set(how) - found.get(work, set()) for work, how in HOW.items()}
    lacking = {work: names for work, names in lacking.items() if names}
    assert not lacking, "\n".join(
        f"{work}: {names}, of {found.get(work)}" for work, names in lacking.items()
    )


def kept(first, other):
    """The benchmarks whose numbers and errors are as before."""
    return {name for name in other if numbers(other[name]) == numbers(first[name])}


def numbers(rows):
    return [(row.value, row.stderr) for row in rows]


def where(first, of_row):
    """The benchmarks all of whose numbers have such rows."""
    measured = {name: [r for r in rows if r.value is not None] for name, rows in first.items()}
    return {name for name, rows in measured.items() if all(map(of_row, rows))}


def counted(row):
    return METRICS[row.metric].is_exact


def not_seen_by(networks):
    return lambda row: METRICS[row.metric].network not in networks


def of_no_person(row):
    """Whether its error is not by persons, nor by blocks of them."""
    pairs = any(part.units.startswith("pairs") for part in row.estimate.influences)
    return pairs or row.stderr is None


def test_of_another_seed(first, runs):
    assert kept(first, runs.run(seed=1)) == where(first, counted)


def test_of_other_weights(first, runs):
    found = runs.run(model=[Learned(bias=0.1), Tokens()])
    assert kept(first, found) == where(first, counted)


def test_of_another_precision(first, runs, capable):
    """But where the decoder is called in another, as its protocol says."""
    exact = where(first, lambda row: counted(row) or "decoding_dtype" in row.measured_by)
    assert kept(first, runs.run(precision="bfloat16")) == exact


def test_of_other_weights_of_metric_networks(first, runs, tmp_path):
    """Files of the same names and sizes."""
    found = runs.run(weights_dir=write_weights(tmp_path, b"1"))
    assert kept(first, found) == where(first, not_seen_by(NETWORKS))


def test_of_the_same_images_of_other_persons(first, runs, tmp_path):
    """Whose the test images are decides errors, also where the images of a reference are as before.

    No two of the few images that are edited are of one person.
    """
    found = runs.run(data=write_strangers(runs.data, tmp_path / "strangers"))
    assert kept(first, found) == where(first, of_no_person) | {"edits"}


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_of_other_labels(first, runs, tmp_path, split):
    """Few-shot classes are of all images; the probe that edits needs no validation."""
    changed = write_labels(runs.data, tmp_path / "labels", split)
    found = runs.run(["probes", "identity", "fewshot"], data=changed)
    assert kept(first, found) == ({"identity"} if split == "valid" else set())


def test_of_other_images_on_one_side(first, runs):
    """One setting of each benchmark, which leaves the rest of what it compares as it was."""
    other = {
        "reconstruction.split": "train",
        "probes.test": 29,
        "identity.strengths": (0.4,),
        "edits.calibration": 3,
        "interpolation.pairs": 7,
        "latent.training": 29,
        "fewshot.reference": 61,
        "unconditional.reference_split": "test",
        "variation.draws": 4,
        "denoising.timesteps": (301,),
        "memorisation.train": 40,
    }
    named = {name.partition(".")[0] for name in other}
    for name, value in {**every_setting(), **SMALL}.items():
        section = name.partition(".")[0]
        if section in set(ALL) - {*named, "cost"}:  # of another benchmark its first setting
            other[name] = changed(name, value)
            named.add(section)
    assert kept(first, runs.run(change=other)) == {"cost"}


def test_of_the_same_samples_beside_other_images(first, runs, tmp_path):
    """New images depend on no data: what they are compared with is another, and as many."""
    tasks = ["memorisation", "unconditional"]
    found = runs.run(tasks, data=write_others(runs.data, tmp_path / "others"))
    assert kept(first, found) == set()


class Smaller(Plain):
    """A run of it and of larger systems compares images of its size."""

    name, image_size, fingerprint = "smaller", 12, "smaller"

    def decode(self, code, steps=100):
        return F.interpolate(super().decode(code, steps), 12)


def test_of_a_smaller_model_beside(runs, tmp_path):
    """New images and pictures of them are made smaller: nothing of the larger ones is read."""
    tasks = ["unconditional", "memorisation", "fewshot"]
    for number, models in enumerate(([Learned()], [Learned(), Smaller()])):
        runs.run(tasks, model=models, out=tmp_path / str(number))


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_of_other_weights_of_one_network(first, runs, tmp_path, network):
    folder = shutil.copytree(runs.weights, tmp_path / "weights")
    name = weights.KNOWN[network].files[-1].filename
    shutil.copy(write_weights(tmp_path / "other", b"1") / name, folder / name)
    assert kept(first, runs.run(weights_dir=folder)) == where(first, not_seen_by([network]))
