"""Which metric is the headline of tables with Frechet distances, and which real images stand beside."""

from dataclasses import replace

import numpy as np
import pytest
from runs import fid, write_run

from benchmarks.core.registry import REGISTRY, specs
from reports.page.plots.figures import plots_of
from reports.records.metrics import METRICS
from reports.records.specs import with_headlines
from reports.tables.build import build_tables, read
from reports.tables.headlines import headline_rows
from reports.tables.ranking import of_like_n

DIM = 2_048
RNG = np.random.default_rng(0)
DRAWS, NOISE = RNG.normal(0.001, 0.01, 50), RNG.normal(0, 0.01, 50)
TABLE3, TABLE4 = "table3_fewshot_fid", "table4_unconditional_fid"


def kid(system: str, value: float, **changes):
    return replace(fid(system, value, **changes), metric="kid")


def both(system: str, frechet: float, kernel: float, **changes):
    return [fid(system, frechet, **changes), kid(system, kernel, **changes)]


def headline(n, reference_n=50_000, profile="quick", more=(), table=TABLE4):
    records = [*both("A", 9.0, 0.01, n=n), *more]
    protocols = {"p0": {"feature_dim": DIM, "reference_n": reference_n}}
    (spec,) = [
        s
        for s in with_headlines(specs(REGISTRY.own), records, protocols, profile)
        if s.name == table
    ]
    return spec.headline


@pytest.mark.parametrize(
    ("n", "reference_n", "profile", "leads"),
    [
        (5 * DIM, 50_000, "quick", "fid"),
        (5 * DIM - 1, 50_000, "quick", "kid"),
        (50_000, 5 * DIM - 1, "standard", "kid"),
        (50_000, None, "standard", "fid"),
        (128, 50_000, "paper", "fid"),
    ],
)
def test_the_kernel_distance_leads_below_five_images_a_dimension_except_in_paper(
    n, reference_n, profile, leads
):
    assert headline(n, reference_n, profile) == (leads,)


def test_references_do_not_decide_which_leads():
    few = [fid("real images (test)", 1.0, n=100, reference=True)]
    assert headline(50_000, more=few) == ("fid",)
    assert headline(50_000, more=[fid("B", 1.0, n=100)]) == ("kid",)


def test_other_tables_keep_their_headline():
    assert headline(128, table="table1_reconstruction") == ("ssim", "lpips", "mse")
    assert headline(128, table=TABLE3) == ("fid",)


def test_without_a_kernel_distance_the_frechet_distance_leads():
    protocols = {"p0": {"feature_dim": DIM, "reference_n": 2_048}}
    for kernel in ([], [kid("A", None)], [kid("real images (test)", 0.0, reference=True)]):
        records = [fid("A", 9.0, n=128), *kernel]
        spec, *_ = with_headlines(specs(["unconditional"]), records, protocols, "quick")
        assert spec.headline == ("fid",)


def run_of(folder, records, base="quick", n_of=DIM):
    protocols = {"p0": {"feature_dim": n_of, "reference_n": 2_048}}
    settings = {"data": "portraits", "seed": 0, "profile": {"name": base, "base": base}}
    ended = "2026-11-27T10:00:00+00:00"
    return write_run(folder, records, protocols=protocols, settings=settings, ended=ended)


def samples(steps=(10,)):
    """A is best by the Frechet distance, B by the kernel distance."""
    found = []
    for t in steps:
        found += both("A", 251.0, 0.4, n=384, steps=t) + both("B", 277.0, 0.2, n=384, steps=t)
    return [*found, *both("real images (test)", 97.0, -0.001, n=384, reference=True)]


@pytest.mark.parametrize(
    ("base", "first", "real"), [("quick", "B 0.20000", "-0.00100"), ("paper", "A 251.00", "97.00")]
)
def test_first_screen_and_overview_have_one_headline(tmp_path, base, first, real):
    found = read([run_of(tmp_path / "run", samples(), base)])
    metric = "kid" if base == "quick" else "fid"
    (row,) = headline_rows(found)
    name, value = first.split()
    assert {r.system for r in row.best} == {name} and row.numbers[name].metric == metric
    assert row.numbers[name].value == float(value)
    assert [(r.system, r.value) for r in row.references] == [("real images (test)", float(real))]
    overview = found.tables[0]
    assert {r.metric for r in overview.records} == {metric}
    assert {r.system for r in overview.records} == {"A", "B", "real images (test)"}
    assert {r.metric for r in found.tables[1].records} == {"kid", "fid"}


def test_a_system_that_could_not_run_is_in_the_overview(tmp_path):
    absent = fid("C", None, stderr=None, note="C cannot sample")
    overview = read([run_of(tmp_path / "run", [*samples(), absent])]).tables[0]
    assert [r.note for r in overview.records if r.system == "C"] == ["C cannot sample"]


def test_real_images_are_a_level_of_the_plots_over_steps(tmp_path):
    for base, level in (("quick", "-0.001"), ("paper", "97")):
        found = read([run_of(tmp_path / base, samples((10, 20)), base)])
        (plot,) = plots_of("unconditional", found)
        assert plot.title.endswith("against T (steps); dashed: real images (test)")
        assert plot.text.endswith(f" real images (test): {level}.")
        assert "real images (test)" not in [one.name for one in plot.key]


def test_real_images_that_have_a_place_on_the_axis_are_points_and_no_level(tmp_path):
    records = [fid("A", 100.0 - t, n=128, steps=t) for t in (10, 20, 50)]
    records += [fid("real images (test)", 9.0, n=128, steps=t, reference=True) for t in (10, 20)]
    (plot,) = plots_of("unconditional", read([run_of(tmp_path / "run", records, "paper")]))
    assert "dashed" not in plot.title
    assert [len(one.points) for one in plot.key if one.name == "real images (test)"] == [2]


def classes(naive_n=2_048):
    """One class: samples, as many real images of it, and of all, and the paper's naive of another n."""

    def row(system, frechet, kernel, n=128, reference=True):
        found = both(system, frechet, kernel, n=n, reference=reference)
        return [
            replace(r, benchmark="fewshot", table=TABLE3, setting=s)
            for r in found
            for s in SETTINGS
        ]

    return [
        *row("DiffAE", 323.7, 0.3, reference=False),
        *row("naive", 240.0, 0.1),
        *row("real images of the class", 172.0, 0.0),
        *row("naive (all images)", 114.4, 0.08, n=naive_n),
    ]


SETTINGS = ("binary/Male", "pu/Male")


def test_frechet_distances_of_another_n_are_not_beside_those_of_samples(tmp_path):
    """114.4 of 2,048 images is below 172 of 128 real ones of the class, and means nothing beside it."""
    found = read([run_of(tmp_path / "run", classes(), "paper")])
    overview, table = found.tables
    assert "naive (all images)" not in {r.system for r in overview.records}
    (plot,) = plots_of("fewshot", found)
    assert [one.name for one in plot.key] == ["DiffAE", "naive", "real images of the class"]
    panel, apart = table.panels
    assert [h for h in panel.headers if "all images" in h] == ["naive (all images) KID ↓"]
    assert apart.headers == ("class", "naive (all images) FID ↓")
    assert apart.heading.startswith("Of 2,048 images, which no system has: not to be compared")
    (row,) = headline_rows(found)
    assert [r.system for r in row.references] == ["naive", "real images of the class"]


def test_kernel_distances_of_any_n_are_beside_each_other(tmp_path):
    found = read([run_of(tmp_path / "run", classes())])
    assert "naive (all images)" in {r.system for r in found.tables[0].records}
    (row,) = headline_rows(found)
    assert {r.value for r in row.records} == {0.3} and len(row.references) == 3


def test_references_of_no_systems_n_are_left_out():
    records = [fid("A", 1.0, n=128), fid("real, as many", 1.0, n=128, reference=True)]
    other = fid("real, more", 1.0, n=2_048, reference=True)
    assert of_like_n([*records, other], METRICS) == records
    assert of_like_n([other], METRICS) == [other]
    kernel = kid("real, more", 1.0, n=2_048, reference=True)
    assert of_like_n([kid("A", 1.0, n=128), kernel], METRICS)[1] == kernel


def test_without_a_frechet_distance_the_kernel_distance_leads():
    for more in ([], [fid("A", None, n=50_000)]):
        spec, *_ = with_headlines(specs(["unconditional"]), [kid("A", 0.1), *more], {}, "quick")
        assert spec.headline == ("kid",)


@pytest.mark.parametrize("spec", specs(REGISTRY.own), ids=lambda spec: spec.name)
def test_the_headline_has_the_first_columns_of_every_table(spec):
    """Whatever was measured first; its panels too come in this order."""
    metrics = [*spec.metrics, *(m for m in spec.headline if m not in spec.metrics)]
    at = {
        "table": spec.source,
        "setting": spec.headline_settings[0] or "s",
        "steps": 10,
        "calls": 10,
    }
    rows = [replace(fid("A", 1.0), metric=m, direction=METRICS[m].direction, **at) for m in metrics]
    table = build_tables(rows[::-1], [spec])[1]
    shown = list(dict.fromkeys(r.metric for r in table.records))
    assert shown[: len(spec.headline)] == list(spec.headline) and set(shown) == set(metrics)
