"""Several runs in one table: names, seeds, and what must not be compared."""

import dataclasses
import math
import statistics
from pathlib import Path

import pandas as pd
import pytest
from runs import PROTOCOL, SETTINGS, TABLE1, table1, write_run
from scipy import stats

from diffae.system.errors import UserError
from reports.make import main
from reports.records.run_folder import Run, read_run
from reports.tables.build import merge
from reports.tables.ranking import CLEAR, LEVEL, gap_between
from reports.tables.run_groups import labels_of, run_groups_of


def run(folder, records, seed=0, protocol=None, weights="w0", **settings):
    settings = SETTINGS | {"seed": seed, "weights": {"diffae": weights}} | settings
    protocols = {f"p{seed}": PROTOCOL | {"seed": seed} | (protocol or {})}
    records = [dataclasses.replace(r, protocol=f"p{seed}") for r in records]
    return read_run(write_run(folder, records, settings=settings, protocols=protocols))


def named(source, label):
    return dataclasses.replace(source, label=label)


def table(tmp_path, *sources, table=TABLE1):
    """The rows of a table as `reports.make` writes it: the page, and the numbers by system."""
    words = [f"{s.label}={s.folder}" if s.label else str(s.folder) for s in sources]
    main([*words, "--out", str(tmp_path / "out")])
    frame = pd.read_csv(tmp_path / "out/tables" / f"{table}.csv")
    return (tmp_path / "out/tables" / f"{table}.md").read_text(), frame


def test_a_run_of_one_system_stands_beside_a_run_of_another(tmp_path):
    a = run(tmp_path / "a", [table1("DiffAE", "ssim", 0.95, stderr=0.001)])
    b = run(tmp_path / "b", [table1("Mine", "ssim", 0.97, stderr=0.001)], weights="w1")
    page, frame = table(tmp_path, a, b)
    assert dict(zip(frame["system"], frame["value"], strict=True)) == {"DiffAE": 0.95, "Mine": 0.97}
    assert dict(zip(frame["system"], frame["best"], strict=True)) == {"DiffAE": False, "Mine": True}
    assert list(frame["run"]) == ["a", "b"]
    assert "otherwise" not in page and f"- run: a: {a.folder}; b: {b.folder}" in page


def test_systems_of_one_name_carry_the_name_of_their_run(tmp_path):
    numbers = {"base": 0.95, "mine": 0.96}
    runs = [
        run(tmp_path / k, [table1("DiffAE", "ssim", v), table1("DDIM", "ssim", 0.9)], weights=k)
        for k, v in numbers.items()
    ]
    _, frame = table(tmp_path, *runs)
    assert list(frame["system"]) == [
        "DiffAE (base)",
        "DDIM",
        "DiffAE (mine)",
    ]  # DDIM's are the same
    _, frame = table(tmp_path / "again", named(runs[0], "paper"), named(runs[1], "ours"))
    assert set(frame["system"]) == {"DiffAE (paper)", "DiffAE (ours)", "DDIM"}
    assert "DiffAE (ours)" in (tmp_path / "again/out/report.html").read_text()


def test_a_system_without_a_number_in_common_is_another(tmp_path):
    probes = table1(
        "DiffAE", "auroc", 0.9, benchmark="probes", table="section5.3_probe", setting="mean"
    )
    a = run(tmp_path / "a", [table1("DiffAE", "ssim", 0.95)])
    b = run(tmp_path / "b", [probes])
    assert {r.system for r in merge([a, b]).records} == {"DiffAE (a)", "DiffAE (b)"}


@pytest.mark.parametrize("more", [{"value": 0.8}, {"n": 64}, {"stderr": 0.2}])
def test_a_system_is_another_where_a_number_its_n_or_its_error_is(tmp_path, more):
    rows = [table1("A", "ssim", **{"value": 0.9, "stderr": 0.1} | m) for m in ({}, more)]
    runs = [run(tmp_path / k, [r], weights=k) for k, r in zip("ab", rows, strict=True)]
    assert {r.system for r in merge(runs).records} == {"A (a)", "A (b)"}


def test_a_system_that_could_not_run_in_one_of_them_is_no_other_row_of_its_own(tmp_path):
    a = run(tmp_path / "a", [table1("A", "ssim", 0.9), table1("DDIM", "ssim", 0.8)])
    b = run(
        tmp_path / "b",
        [table1("A", "", None, steps=None, note="too little memory"), table1("B", "ssim", 0.7)],
    )
    page, frame = table(tmp_path, a, b)
    assert (
        list(frame["system"]) == ["A (a)", "DDIM", "A (b)", "B"]
        and "protocol" not in page.split("|:--")[0]
    )


def test_what_was_measured_otherwise_says_so_and_does_not_compete(tmp_path):
    a = run(
        tmp_path / "a",
        [table1(s, "ssim", v, stderr=0.001) for s, v in (("DiffAE", 0.95), ("DDIM", 0.9))],
    )
    b = run(
        tmp_path / "b", [table1("Mine", "ssim", 0.97, setting="")], protocol={"n": 6},
        profile={"name": "smoke", "sections": {}},
    )  # fmt: skip
    page, frame = table(tmp_path, a, b)
    assert (
        "0.9700<sup>1</sup>" in page and "1. measured otherwise than in a: n 6 against 32" in page
    )
    assert dict(zip(frame["system"], frame["best"], strict=True)) == {
        "DiffAE": True, "DDIM": False, "Mine": False,
    }  # fmt: skip
    assert "among those measured alike" in page
    assert "b is not measured as a: profile smoke against quick" in page


def test_two_that_are_unlike_the_first_compete_with_each_other(tmp_path):
    a = run(tmp_path / "a", [table1("A", "ssim", 0.99)])
    b, c = (
        run(
            tmp_path / k,
            [table1(k.upper(), "ssim", v, stderr=0.001)],
            protocol={"data_sha256": "x"},
        )
        for k, v in (("b", 0.5), ("c", 0.6))
    )
    page, frame = table(tmp_path, a, b, c)
    assert dict(zip(frame["system"], frame["best"], strict=True)) == {
        "A": False, "B": False, "C": True,
    }  # fmt: skip
    assert page.count("other images") == 1  # one note for both


@pytest.mark.parametrize(
    "free", [{"model": "velocity"}, {"solver": "fast"}, {"decoding_steps": 10}, {"device": "cuda"}]
)
def test_how_a_system_works_may_differ(free, tmp_path):
    a = run(tmp_path / "a", [table1("A", "ssim", 0.99)])
    b = run(tmp_path / "b", [table1("B", "ssim", 0.98)], protocol=free)
    assert [r.note for r in merge([a, b]).records] == ["", ""]


def test_real_images_are_not_held_against_systems(tmp_path):
    """A reference has protocol fields of its own: it is compared with the same reference or with
    nothing.
    """
    a = run(tmp_path / "a", [table1("A", "ssim", 0.99)])
    real = table1("real images", "ssim", 0.5, reference=True, setting="")
    b = run(tmp_path / "b", [real], protocol={"n": 400})
    assert [r.note for r in merge([a, b]).records] == ["", ""]


# ----------------------------------------------------------------------------------------------
# Seeds

VALUES, ERRORS = (0.90, 0.92, 0.97), (0.03, 0.04, 0.05)


def seeds(tmp_path, name="mine", more_by=0.0, **more):
    return [
        run(tmp_path / f"{name}-s{i}", [table1("DiffAE", "ssim", v + more_by, stderr=e),
            table1("DiffAE", "latent_dim", 256, direction="neither")], seed=i, **more)
        for i, (v, e) in enumerate(zip(VALUES, ERRORS, strict=True))
    ]  # fmt: skip


def test_seeds_become_a_mean_with_both_spreads(tmp_path):
    page, frame = table(tmp_path, *seeds(tmp_path))
    row = frame[frame["metric"] == "ssim"].iloc[0]
    assert row["value"] == pytest.approx(0.93) and row["runs"] == 3
    assert row["spread"] == pytest.approx(statistics.stdev(VALUES))
    assert row["stderr"] == pytest.approx((sum(e * e for e in ERRORS) / 3) ** 0.5)
    assert pd.isna(row["ci_low"]) and pd.isna(row["detectable_change"])
    assert "0.9300 ± 0.0361 [0.0408]" in page and "the mean of 3 runs" in page
    assert "- seed: 0, 1, 2" in page
    assert "| 256 |" in page.replace("  ", "")  # a size knows no chance
    tex = (tmp_path / "out/latex" / f"{TABLE1}.tex").read_text()
    assert r"0.9300 $\pm$ 0.0361 {[}0.0408{]}" in tex and "% seed: 0, 1, 2" in tex


def test_what_no_seed_could_measure_has_no_mean(tmp_path):
    absent = table1("DDIM", "ssim", None, note="cannot encode")
    runs = [
        run(tmp_path / f"s{i}", [table1("DiffAE", "ssim", 0.9), absent], seed=i) for i in (0, 1)
    ]
    page, _ = table(tmp_path, *runs)
    assert "cannot encode" in page


@pytest.mark.parametrize("values", [VALUES, (0.9, 0.9, 0.9)], ids=["unequal", "equal"])
@pytest.mark.parametrize("stating", [(), (0,), (2,), (0, 1), (1, 2), (0, 1, 2)])
def test_the_error_of_one_run_is_that_of_all_or_unknown(values, stating, tmp_path):
    """A run without an error says nothing of it; only a number without any chance has no spread."""
    runs = []
    for i, (value, error) in enumerate(zip(values, ERRORS, strict=True)):
        stated = error if i in stating else None
        found = table1("DiffAE", "ssim", value, stderr=stated, n=32 - i)
        runs.append(run(tmp_path / f"s{i}", [found], seed=i))
    page, frame = table(tmp_path, *runs)
    (row,) = frame.to_dict("records")
    within = (sum(e * e for e in ERRORS) / 3) ** 0.5 if len(stating) == 3 else math.nan
    exact = not stating and len(set(values)) == 1
    spread = math.nan if exact else statistics.stdev(values)
    assert row["value"] == pytest.approx(statistics.fmean(values))
    assert row["stderr"] == pytest.approx(within, nan_ok=True)
    assert row["spread"] == pytest.approx(spread, nan_ok=True)
    assert (row["runs"], row["n"]) == (3, 30)
    cell = f"{row['value']:.4f}" + ("" if exact else f" ± {spread:.4f}")
    cell += "" if math.isnan(within) else f" [{within:.4f}]"
    assert f"| {cell} |" in " ".join(page.split())


def test_seeds_of_two_things_stand_side_by_side(tmp_path):
    runs = [*seeds(tmp_path), *seeds(tmp_path, "other", 0.01, weights="w1")]
    assert [t.name for t in run_groups_of(runs)] == ["mine-s", "other-s"]
    page, frame = table(tmp_path, *runs)
    assert set(frame["system"]) == {"DiffAE (mine-s)", "DiffAE (other-s)"}
    assert "- seed: 0, 1, 2" in page


def test_other_weights_or_settings_are_no_seeds(tmp_path):
    a = run(tmp_path / "a", [table1("A", "ssim", 0.9)])
    for i, more in enumerate(({"weights": "w1"}, {"data": "celeba"}, {"precision": "bfloat16"})):
        b = run(tmp_path / f"b{i}", [table1("A", "ssim", 0.8)], seed=1, **more)
        assert len(run_groups_of([a, b])) == 2


def test_runs_of_one_name_are_one_thing_whatever_their_weights(tmp_path):
    """Several trainings."""
    runs = [
        named(run(tmp_path / w, [table1("A", "ssim", v)], weights=w), "ours")
        for w, v in (("a", 0.5), ("b", 0.7))
    ]
    (record,) = merge(runs).records
    assert (record.value, record.runs, record.run) == (pytest.approx(0.6), 2, "ours")


def trainings(tmp_path, name, *values):
    """Runs of a system of one name, of different weights; their images are the same."""
    for i, value in enumerate(values):
        folder = tmp_path / f"{name}{i}"
        records = [table1("A", "ssim", value, stderr=0.001, n=10_000)]
        yield named(run(folder, records, weights=f"{name}{i}"), name)


def test_means_of_trainings_differ_by_more_than_the_spread_between_these(tmp_path):
    """Welch's test of the four values has p = 0.64, and of the errors of the images 0.0001."""
    close = merge(
        [*trainings(tmp_path / "a", "x", 0.89, 0.93), *trainings(tmp_path, "y", 0.88, 0.92)]
    )
    gap = gap_between(*close.records)
    variances = [statistics.variance(v) / 2 for v in ((0.89, 0.93), (0.88, 0.92))]
    assert gap.stderr == pytest.approx(math.sqrt(sum(variances) + 2 * 0.001**2))
    parts = [*((v, 1) for v in variances), (0.001**2, 9_999), (0.001**2, 9_999)]
    df = gap.stderr**4 / sum(v**2 / own for v, own in parts)  # Welch and Satterthwaite's
    assert gap.noise == pytest.approx(stats.t.ppf(0.975, df) * gap.stderr)
    assert gap.standing == LEVEL
    apart = merge(
        [*trainings(tmp_path / "b", "x", 0.89, 0.93), *trainings(tmp_path / "b", "y", 0.2, 0.24)]
    )
    assert gap_between(*apart.records).standing == CLEAR


def test_runs_are_compared_where_the_first_lacks_the_number(tmp_path):
    """Whatever their order: two crops, and a run of something else."""
    probes = table1("P", "auroc", 0.9, benchmark="probes", table="section5.3_probe", setting="mean")
    other = run(tmp_path / "other", [probes], weights="w0")
    crops = [
        run(tmp_path / crop, [table1(crop, "ssim", 0.9)], weights=crop, protocol={"crop": crop})
        for crop in ("center", "adm")
    ]
    for sources in ([other, *crops], [*crops, other], [crops[0], other, crops[1]]):
        contests = {r.system: (r.contest, r.note) for r in merge(sources).records}
        assert contests["center"] == ("", "") and contests["P"] == ("", "")
        assert contests["adm"] == (
            "adm",
            "measured otherwise than in center: crop adm against center",
        )


def test_what_only_some_runs_have_says_so(tmp_path):
    a, b = seeds(tmp_path)[:2]
    b = run(tmp_path / "b", [table1("DiffAE", "ssim", None, note="no memory")], seed=1)
    (record, _) = merge([named(a, "x"), named(b, "x")]).records
    assert (record.value, record.runs, record.spread) == (0.90, 1, None)
    assert record.note == "measured in 1 of 2 runs"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"protocol": {"n": 6}, "seed": 1}, "no seeds of one thing, their protocols differ in n"),
        ({}, "has the settings, weights and seed of"),
    ],
)
def test_what_is_no_other_run_of_it_is_refused(other, words, tmp_path):
    a, b = (
        run(tmp_path / k, [table1("A", "ssim", 0.9)], **m) for k, m in (("a", {}), ("b", other))
    )
    with pytest.raises(UserError, match=words):
        merge([named(a, "x"), named(b, "x")])


def test_numbers_that_have_no_mean_are_refused_in_one_line(tmp_path):
    runs = [run(tmp_path / f"s{i}", [table1("A", "ssim", 1.7e308)], seed=i) for i in range(2)]
    with pytest.raises(UserError, match="too large"):
        merge(runs)


def test_a_run_given_twice_is_refused_in_one_line(tmp_path):
    a = run(tmp_path / "a", [table1("A", "ssim", 0.9)])
    words = [str(a.folder), f"x={a.folder}/../a"]
    with pytest.raises(UserError, match="is listed 2 times; keep one"):
        main([*words, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_two_runs_of_one_name_need_names():
    sources = [[Run(Path(f), (), {}, {}, label=label)] for f, label in (("/a", "b"), ("/b", ""))]
    with pytest.raises(UserError, match="would be called b"):
        labels_of(sources)


def test_numbers_that_depend_on_n_are_neither_ranked_nor_averaged_over_several_n(tmp_path):
    def one(folder, system, value, n, seed=0, **weights):
        found = table1(system, "fd_effnet", value, n=n)
        return run(tmp_path / folder, [found], seed=seed, **weights)

    a, b = one("a", "DiffAE", 200.0, 118), one("b", "Mine", 190.0, 128, weights="w1")
    page, frame = table(tmp_path / "ab", a, b)
    assert not frame["best"].any() and "measured otherwise than in a: n 128 against 118" in page
    merged = merge([one("s0", "DiffAE", 200.0, 118), one("s1", "DiffAE", 190.0, 128, seed=1)])
    (mean,) = merged.records
    assert mean.value is None and mean.note.startswith("no mean: the runs have 118, 128 images")
    merged = merge([one("t0", "DiffAE", 200.0, 128), one("t1", "DiffAE", 190.0, 128, seed=1)])
    assert merged.records[0].value == 195.0
