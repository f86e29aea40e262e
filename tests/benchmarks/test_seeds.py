"""The seed: what it changes and what not, and that everything that draws draws by it."""

import pytest
from small_systems import Everything, Plain, Tokens, every_benchmark, with_truth, write_people

from benchmarks import evaluate
from benchmarks.tasks.latent.space import FOLLOWS, SPACE
from diffae.diffusion import noise
from reports.records.record import record_key

# Every image of every split (100, 16 and 44), so that another order is no other selection.
WHOLE = {
    "reconstruction.images": 44,
    "probes.train": 100,
    "probes.valid": 16,
    "probes.test": 44,
    "identity.images": 44,
    "edits.directions": ("ridge",),
    "edits.pairs": 44,
    "edits.calibration": 16,
    "edits.classifier": 100,
    "latent.images": 44,
    "latent.training": 100,
    "latent.moved": 44,
    "fewshot.reference": 160,
    "fewshot.pool": 40,
    "fewshot.samples": 6,
    "fewshot.seeds": 2,
    "fewshot.binary_k": 5,
    "fewshot.pu_positives": 5,
    "fewshot.pu_unlabeled": 20,
    "interpolation.pairs": 22,
    "samples.count": 44,
    "unconditional.reference": 100,
    "unconditional.overlap": 3,
    "memorisation.train": 100,
}
OF_A_CODE = ("latent_dim", "compression", "code_bits", "bits_per_pixel")
REAL = "real images (test)"
# Which rows are random, by benchmark. The others only depend on the images.
RANDOM = {
    # x_T is drawn
    "reconstruction": lambda row: row.setting == "x_T random" and row.metric not in OF_A_CODE,
    "probes": lambda row: False,
    # labelled images are drawn, and those that are coded with their order
    "representation": lambda row: "labels" in row.setting or row.metric == "code_length",
    # the probe of an edit begins with random weights; the range is of random pictures of people
    "identity": lambda row: not row.setting.endswith(" 0") or row.metric == "logit_change",
    "interpolation": lambda row: True,  # pairs, and points between
    # x_T, neighbours, noise and tokens are drawn
    "latent": lambda row: (
        row.table not in (SPACE, FOLLOWS)
        and (row.system == "Everything" or not fixed_move(row.setting))
    ),
    # latents, labelled images, what is accepted; all images of the data set are always the same
    "fewshot": lambda row: row.system != "naive (all images)",
    "unconditional": lambda row: not row.system.startswith(REAL),
    "variation": lambda row: True,
    "denoising": lambda row: True,
    "memorisation": lambda row: row.system != REAL,
    "edits": lambda row: False,  # its directions here are those of all training images
    "cost": lambda row: False,
}


# A system is tried on some images before it is measured, and its cost does not depend on noise.
OF_A_TRIAL = {("x_T", 0), ("everything", 0)}
# What is drawn, by the purpose that a generator is given beside the seed.
DRAWN = {
    "reconstruction": {"x_T"},
    "probes": set(),
    "representation": set(),
    "identity": set(),
    "interpolation": {"t"},
    "latent": {"x_T", "latent neighbour", "latent noise", "latent tokens"},
    "fewshot": {"x_T", "everything", "acceptance Male", "acceptance Female"},
    "unconditional": {"x_T", "everything"},
    "variation": {"x_T"},
    "denoising": {"denoising"},
    "memorisation": {"x_T", "everything"},
    "edits": set(),
    "cost": set(),
}


def units(rows):
    return {part.units for row in rows for part in row.estimate.influences}


def fixed_move(setting):
    return setting == "as encoded" or setting.endswith(" bits")


@pytest.fixture(scope="module")
def ground(tmp_path_factory, no_effnet, short_fits):
    folder = tmp_path_factory.mktemp("seeds")
    data = write_people(folder / "portraits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIFFAE_CACHE", str(folder / "cache"))
        with_truth(patch)
        yield lambda task, seed: evaluate(
            [Everything(), Tokens(), Plain()] if task == "latent" else Everything(),
            task, data, "smoke", settings=WHOLE, seed=seed, progress=False,
        )  # fmt: skip


@pytest.mark.parametrize("task", every_benchmark())
def test_another_seed_changes_what_is_random_and_nothing_else(task, ground, monkeypatch):
    """All noise is of the seed, and each purpose has a stream of its own."""
    made, drawn = noise.generator, []

    def noted(seed, purpose, index):
        drawn.append((purpose, seed))
        return made(seed, purpose, index)

    monkeypatch.setattr(noise, "generator", noted)
    zero, again = ground(task, 0), ground(task, 0)
    drawn.clear()
    one = ground(task, 1)
    assert set(drawn) - OF_A_TRIAL == {(purpose, 1) for purpose in DRAWN[task]}
    assert [row.value for row in again.rows] == [row.value for row in zero.rows]
    known = {record_key(row): row for row in zero.rows}
    assert known.keys() == {record_key(row) for row in one.rows}
    # nothing that two seeds drew, or ordered, is compared in pairs
    assert not units(zero.rows) & units(one.rows)
    assert units(zero.rows) == units(again.rows)
    wrong = []
    for row in one.rows:
        if row.value is not None:
            before = known[record_key(row)].value
            is_random = bool(RANDOM[task](row))
            # Images in another order are summed otherwise, which fits of edits pass on.
            same = row.value == pytest.approx(before, rel=1e-4 if is_random else 1e-3, abs=1e-7)
            if same == is_random:
                wrong.append((row.system, row.setting, row.metric, before, row.value))
    assert wrong == []
