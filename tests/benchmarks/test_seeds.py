"""The seed: what it changes and what not, and that everything that draws draws by it."""

import pytest
from registered import all_images, every_benchmark
from small_systems import Everything, Plain, Tokens, with_truth, write_people

from benchmarks import evaluate
from benchmarks.core.registry import REGISTRY
from benchmarks.metrics import METRICS
from diffae.diffusion import noise
from reports.records.record import record_key

# Every image of every split (100, 16 and 44), so that another order is no other selection.
WHOLE = all_images() | {
    "edits.directions": ("ridge",),
    "fewshot.pool": 40,
    "fewshot.samples": 6,
    "fewshot.seeds": 2,
    "fewshot.binary_k": 5,
    "fewshot.pu_positives": 5,
    "fewshot.pu_unlabeled": 20,
    "samples.count": 44,
    "unconditional.overlap": 3,
}
# A system is tried on some images before it is measured, and its cost does not depend on noise.
OF_A_TRIAL = {("x_T", 0), ("everything", 0)}


def units(rows):
    return {part.units for row in rows for part in row.estimate.influences}


def is_random(row):
    """As the benchmark says; where x_T is random, all that a system makes of it is."""
    declared = REGISTRY.get(row.benchmark).random
    declared = declared if isinstance(declared, bool) else declared(row)
    has_random_x_T = row.system == Everything.title and row.measured_by.get("x_T") == "random"
    return (declared or has_random_x_T) and not METRICS[row.metric].is_exact


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
    assert {seed for _, seed in set(drawn) - OF_A_TRIAL} <= {1}
    assert [row.value for row in again.rows] == [row.value for row in zero.rows]
    known = {record_key(row): row for row in zero.rows}
    assert known.keys() == {record_key(row) for row in one.rows}
    # nothing that two seeds drew, or ordered, is compared in pairs
    assert not units(zero.rows) & units(one.rows)
    assert units(zero.rows) == units(again.rows)
    wrong = []
    for row in one.rows:
        if row.value is not None:
            before, random = known[record_key(row)].value, is_random(row)
            # Images in another order are summed otherwise, which fits of edits pass on.
            close = {"rel": 1e-4, "abs": 0} if random else {"rel": 1e-3, "abs": 1e-7}
            same = row.value == pytest.approx(before, **close)
            if same == random:
                wrong.append((row.system, row.setting, row.metric, before, row.value))
    module = REGISTRY.own[task].target.partition(":")[0]
    assert not wrong, f"these are not as `random` of the Benchmark in {module} says: {wrong[:9]}"
