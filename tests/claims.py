"""What the packaged models are claimed to do, read off the records of a finished run.

    python -m benchmarks.run all --out runs/claims
    pytest tests/claims.py --run-folder runs/claims

Not collected by default: it needs a run of profile `quick`.
"""

from pathlib import Path

import pytest

from reports.records import Record, read_records


@pytest.fixture(scope="module")
def records(request: pytest.FixtureRequest) -> list[Record]:
    folder: Path | None = request.config.getoption("--run-folder")
    if folder is None:
        pytest.skip("give the folder of a finished quick run with --run-folder")
    return read_records(folder / "records.csv")


def value(records: list[Record], **fields: object) -> float:
    found = [r for r in records if all(getattr(r, name) == v for name, v in fields.items())]
    assert len(found) == 1, f"{len(found)} records with {fields}"
    assert found[0].value is not None, found[0].note
    return found[0].value


def reconstruction(records: list[Record], system: str, steps: int, metric: str) -> float:
    return value(
        records,
        table="table2_ablation",
        system=system,
        setting="x_T inverted",
        steps=steps,
        metric=metric,
    )


def test_more_steps_reconstruct_better(records):
    for system in ("DiffAE", "DDIM"):
        mse = [reconstruction(records, system, steps, "mse") for steps in (10, 20, 50, 100)]
        assert mse == sorted(mse, reverse=True)


def test_diffae_reconstructs_better_than_ddim_at_every_number_of_steps(records):
    for steps in (10, 20, 50, 100):
        ours = reconstruction(records, "DiffAE", steps, "mse")
        assert ours < reconstruction(records, "DDIM", steps, "mse")


def test_a_hundred_steps_reconstruct_nearly_everything(records):
    assert reconstruction(records, "DiffAE", 100, "ssim") >= 0.98


def test_twenty_calls_of_the_fast_solver_reconstruct_better_than_two_hundred_of_the_papers(records):
    for system in ("DiffAE", "DDIM"):
        for metric, better in (("mse", -1), ("ssim", 1)):
            fast, papers = (
                value(
                    records,
                    table="table2_by_calls",
                    system=system,
                    setting="x_T inverted",
                    solver=solver,
                    calls=calls,
                    metric=metric,
                )
                for solver, calls in (("ab2-v", 20), ("ddim", 200))
            )
            assert better * fast > better * papers


def test_z_sem_knows_more_than_pixels_and_than_a_random_encoder(records):
    def auroc(system: str) -> float:
        return value(records, system=system, metric="auroc", setting="mean")

    assert auroc("DiffAE") >= 0.90
    assert auroc("DiffAE") > auroc("pixels + PCA") > auroc("random encoder")


def test_a_stronger_edit_moves_the_logit_further(records):
    for attribute in ("Male", "Smiling", "Wavy_Hair", "Young"):
        moved = [
            value(
                records, system="DiffAE", setting=f"{attribute} {strength}", metric="logit_change"
            )
            for strength in ("0", "0.15", "0.3")
        ]
        assert moved[0] < moved[1] < moved[2]


def test_everything_was_measured(records):
    missing = {(r.benchmark, r.system, r.note) for r in records if r.value is None}
    allowed = {"DDIM", "pixels + PCA", "random encoder"}
    assert {system for _, system, _ in missing} <= allowed, missing
