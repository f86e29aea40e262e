"""What stands above and below the results: how a run was made, and what failed."""

import pytest
from runs import number, write_run

from reports.page.head import facts, failures, lede
from reports.tables.build import read

TABLE = "table1_reconstruction"
BOTH = [number(TABLE, "ssim", 0.9), number(TABLE, "ssim", 0.8, system="DDIM")]


def run_with(folder, records=BOTH, **notes):
    return read([write_run(folder, records, **notes)])


def settings(**profile):
    return {"data": "portraits", "seed": 0, "profile": {"name": "quick", **profile}}


@pytest.mark.parametrize(
    ("name", "notes", "said"),
    [
        ("Profile", {}, "quick"),
        ("Profile", {"settings": settings(limit=8)}, "quick, counts limited to 8"),
        ("Profile", {"settings": settings(limit=0)}, "quick, counts limited to 0"),
        ("Profile", {"settings": settings(changed=["a.b", "c.d"])}, "quick, changed: a.b, c.d"),
        ("Profile", {"settings": {"seed": 0}}, "not said"),
        ("Seed", {"settings": {"seed": 0}}, "0"),
        ("Seed", {"settings": {}}, "not said"),
        ("Precision", {"precision": "bfloat16"}, "bfloat16"),
        ("Machine", {"device": "a GPU"}, "a GPU"),
        ("Version", {"versions": {"diffae-bench": "1.2"}}, "1.2"),
        ("Commit", {"commit": "0123456789abcdef", "dirty": False}, "0123456789ab"),
        ("Commit", {"commit": "0123456789abcdef", "dirty": True}, "0123456789ab and uncommitted changes"),
        ("Commit", {}, "none: an installed package"),
        ("Command", {"arguments": ["all", "--seed", "0"]}, "python -m benchmarks.run all --seed 0"),
        ("Command", {}, "from Python"),
        ("Measured", {}, "not said"),
    ],
)  # fmt: skip
def test_how_a_run_was_made(tmp_path, name, notes, said):
    assert facts(run_with(tmp_path / "run", **notes))[name] == said


SUITE = {"suite": {"name": "s-v1", "sha256": "0123456789abcdef"}}


def test_a_suite_stands_in_place_of_its_profile_also_beside_a_run_of_none(tmp_path):
    a = write_run(tmp_path / "a", BOTH, settings=settings() | SUITE)
    b = write_run(tmp_path / "b", BOTH, settings=settings())
    alone = facts(read([a]))
    assert alone["Suite"] == "s-v1 (0123456789ab)" and "Profile" not in alone
    both = facts(read([b, a]))
    assert (both["Suite"], both["Profile"]) == (
        "b: none; a: s-v1 (0123456789ab)",
        "b: quick; a: none",
    )
    assert read([a, b]).suite == ""


@pytest.mark.parametrize(
    "suite",
    [3, [], {}, {"name": 3}, {"sha256": "0"}, {"name": "../s"}, {"name": "a b"}, {"name": ""}],
)
def test_a_suite_that_cannot_be_one_is_none(tmp_path, suite):
    found = run_with(tmp_path / "run", settings={**settings(), "suite": suite})
    assert (found.suite == "") == (suite != {"name": 3}) and facts(found)["Seed"] == "0"


def test_the_time_is_of_all_commands_from_the_first_start_and_a_clock_set_back_takes_none(tmp_path):
    hours = [("10:00", "10:05"), ("11:30", "11:00"), ("12:00", "12:10")]
    day = "2026-01-02T{}:00+00:00".format
    invocations = [{"started": day(a), "until": day(b)} for a, b in hours]
    for count, took in ((1, "5 min"), (2, "5 min over 2 commands"), (3, "15 min over 3 commands")):
        found = run_with(tmp_path / f"{count}", invocations=invocations[:count])
        assert facts(found)["Measured"] == f"2026-01-02 10:00 UTC, in {took}"


def test_what_runs_do_not_share_is_said_of_each(tmp_path):
    """Also where one of them does not say it."""
    runs = [
        write_run(tmp_path / name, [number(TABLE, "ssim", 0.9, system=name)], settings=of)
        for name, of in (("a", settings()), ("b", settings(limit=4)))
    ]
    found = facts(read(runs))
    assert found["Profile"] == "a: quick; b: quick, counts limited to 4"
    assert found["Seed"] == "0"


def test_a_reference_is_no_system_of_the_run(tmp_path):
    """Nor does its n count; a size of a code is of no images."""
    more = [
        number(TABLE, "ssim", 0.95, system="pixels", reference=True, n=4_000),
        number(TABLE, "latent_dim", 512.0, n=1),
        number(TABLE, "mse", 0.1, n=30),
    ]
    found = run_with(tmp_path / "run", [*BOTH, *more])
    assert lede(found) == (
        "DiffAE and DDIM, by 1 benchmark. Images or other units behind each number: n = 30 to 50."
    )


def test_references_alone_and_absent_systems_are_named_once(tmp_path):
    pixels = number(TABLE, "ssim", 0.95, system="pixels", reference=True)
    alone = read([write_run(tmp_path / "alone", [pixels])])
    assert lede(alone) == "References alone: pixels, by 1 benchmark."
    absent = number(TABLE, "ssim", None, system="DDIM", note="no weights")
    found = read([write_run(tmp_path / "mine", [number(TABLE, "ssim", 0.9), absent])])
    assert lede(found).startswith("DiffAE, by 1") and lede(found).endswith("Not measured: DDIM.")


def test_a_system_that_failed_is_named_once_with_its_benchmarks(tmp_path):
    failed = [
        {"benchmark": benchmark, "system": system, "reason": reason}
        for system, benchmark, reason in (
            ("mine", "probes", "no code"),
            ("mine", "latent", "no code"),
            ("mine", "latent", "no code"),
            ("mine", "cost", "too slow"),
        )
    ]
    said = failures(run_with(tmp_path / "run", failed=failed))
    assert said == ("mine failed in probes, latent: no code", "mine failed in cost: too slow")
