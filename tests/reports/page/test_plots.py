"""The plots by their SVG: what is drawn where, without inline styles.

The page's policy forbids inline styles.
"""

import math
import re
from dataclasses import astuple
from pathlib import Path
from xml.etree import ElementTree

import pytest
from runs import changed, fid, number, write_run

from reports.page.plots.drawing import point
from reports.page.plots.figures import plots_of
from reports.tables.build import read

BASELINE = Path(__file__).parents[3] / "benchmarks/baseline"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plots():
    """Every plot of the baseline's page."""
    found = read([BASELINE])
    benchmarks = dict.fromkeys(r.benchmark for r in found.records)
    return [plot for benchmark in benchmarks for plot in plots_of(benchmark, found)]


def table2(metric="ssim", values=(0.7, 0.8, 0.9), **changes):
    return [
        number("table2_ablation", metric, value, steps=steps, solver="ddim", **changes)
        for steps, value in zip((10, 100, 1000), values, strict=True)
    ]


def drawn(tmp_path, records, benchmark="reconstruction"):
    return plots_of(benchmark, read([write_run(tmp_path / "run", records)]))


def markers(plot, name):
    """The positions of a series' markers, in the units of the picture."""
    own = next(s for s in plot.key if s.name == name)
    root = ElementTree.fromstring(str(plot.svg))
    uses = [
        use
        for group in root.iter(f"{SVG}g")
        for use in group.findall(f"{SVG}use")
        if f"fill-s{own.colour}" in use.get("class", "")
    ]
    last = uses[-len(own.points) :]  # before them come the ends of the intervals
    return [(float(use.get("x")), float(use.get("y"))) for use in last]


def test_the_paper_s_figures_are_drawn(plots):
    titles = [plot.title for plot in plots]
    for wanted in (
        "SSIM ↑ against T", "pd_effnet ↓ against T", "SSIM ↑ against network calls",
        "AUROC ↑ by attribute", "against edit: Male …", "ppl_effnet", "EfficientNet ratio",
        "MSE ↓ against noised to: t = …", "against noise …", "against … bits",
    ):  # fmt: skip
        assert any(wanted in title for title in titles), wanted


def test_points_stand_where_their_values_are(tmp_path):
    (plot,) = drawn(tmp_path, table2())
    (x0, y0), (x1, y1), (x2, y2) = markers(plot, "DiffAE")
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.01) and x1 > x0  # decades of T
    assert y0 - y1 == pytest.approx(y1 - y2, abs=0.01) and y0 > y1  # steps of 0.1


def test_robustness_is_drawn_against_noise_and_against_bits(tmp_path):
    settings = ("noise 0.1", "noise 1", "noise 10", "2 bits", "4 bits", "6 bits", "as encoded")
    records = [
        number("latent_robustness", "lpips", 0.1 + i, setting=setting, benchmark="latent")
        for i, setting in enumerate(settings)
    ]
    noise, bits = drawn(tmp_path, records, "latent")
    for plot, ys in ((noise, (0.1, 1.1, 2.1)), (bits, (3.1, 4.1, 5.1))):
        assert [p.y for p in plot.key[0].points] == pytest.approx(ys)
        first, second, third = (x for x, _ in markers(plot, "DiffAE"))
        assert second - first == pytest.approx(third - second, abs=0.01)


def test_an_interval_is_that_of_the_record_or_of_its_error(tmp_path):
    """By Student's t, or by the normal distribution for a mean over runs, which has no interval."""
    records = table2(values=(0.5, 0.5, 0.5), stderr=0.01, df=4)
    (plot,) = drawn(tmp_path, records)
    mean = point(10, changed(records[0], pooled=True))
    for drawn_point, half in ((plot.key[0].points[0], 0.02776445), (mean, 0.01959964)):
        assert astuple(drawn_point) == pytest.approx((10, 0.5, 0.5 - half, 0.5 + half))


def test_samples_are_drawn_against_steps_and_calls_where_there_are_several(tmp_path):
    records = [
        fid("DiffAE", value, steps=steps, calls=2 * steps, solver="ddim")
        for steps, value in ((10, 20.0), (100, 12.0))
    ]
    plots = drawn(tmp_path, records, "unconditional")
    assert [[(p.x, p.y) for p in plot.key[0].points] for plot in plots] == [
        [(10, 20.0), (100, 12.0)],
        [(20, 20.0), (200, 12.0)],
    ]


@pytest.mark.parametrize("count", [4, 5])
def test_quality_is_drawn_against_the_size_of_the_code(tmp_path, count):
    table = "table1_reconstruction"
    records = [
        number(table, metric, value, system=f"S{i}")
        for i in range(count)
        for metric, value in (("latent_dim", 2.0**i), ("ssim", i / 8))
    ]
    plots = [p for p in drawn(tmp_path, records) if p.title == "SSIM ↑ against latent size"]
    points = [(s.points[0].x, s.points[0].y) for plot in plots for s in plot.key]
    assert points == [(2.0**i, i / 8) for i in range(count)] * (count > 4)


def test_lengths_of_a_code_are_a_line(tmp_path):
    records = [
        number("reconstruction_by_length", metric, value, setting=str(k), system=system)
        for system, times in (("A", 1), ("B", 16))
        for k in (1, 2, 8)
        for metric, value in (("latent_dim", float(times * k)), ("psnr", 20.0 + k))
    ]
    (plot,) = drawn(tmp_path, records)
    assert plot.title == "PSNR ↑ against latent size"
    assert {s.name: [(p.x, p.y) for p in s.points] for s in plot.key} == {
        "A": [(1, 21), (2, 22), (8, 28)],
        "B": [(16, 21), (32, 22), (128, 28)],
    }


def test_systems_whose_codes_have_one_size_have_a_row_each(tmp_path):
    """And an interval far beyond 1 does not widen the axis of what is at most 1."""
    records = [
        number("table1_reconstruction", metric, value, system=f"s{i}", stderr=stderr)
        for i in range(5)
        for metric, value, stderr in (("latent_dim", 10.0, None), ("ssim", 0.9 + i / 100, 5.0))
    ]
    plot, *_ = drawn(tmp_path, records)
    assert plot.title == "SSIM ↑, with 95 % intervals" and plot.metric == "ssim"
    assert [[p.x for p in s.points] for s in plot.key] == [[float(i)] for i in range(5)]
    labels = re.findall(r">([-−\d.]+)</text>", str(plot.svg))
    assert labels and max(float(label.replace("−", "-")) for label in labels) <= 1.03


def test_the_paper_s_metric_comes_before_its_stand_in(tmp_path):
    plots = drawn(tmp_path, table2("lpips") + table2("pd_effnet"))
    assert [plot.title for plot in plots] == ["LPIPS ↓ against T (steps)"]


def test_values_without_end_are_left_out(tmp_path):
    (plot,) = drawn(
        tmp_path, table2(values=(math.inf, 0.8, 0.9)) + table2("lpips", (math.nan,) * 3)
    )
    assert [p.x for p in plot.key[0].points] == [100, 1000]


def test_a_system_has_one_colour_in_every_plot(plots):
    colours: dict[str, set[int]] = {}
    for one in (series for plot in plots for series in plot.key):
        colours.setdefault(one.name.split(", ")[0], set()).add(one.colour)
    assert {"DiffAE", "DDIM", "pixels + PCA"} <= set(colours)
    assert all(len(found) == 1 for found in colours.values())
    assert len({next(iter(found)) for found in colours.values()}) == len(colours)


def test_series_of_one_plot_differ_by_more_than_colour(plots):
    for plot in plots:
        assert len({(s.marker, s.dash) for s in plot.key}) == len(plot.key), plot.title


def test_names_are_text_and_never_formulas(tmp_path):
    """And without the characters that XML cannot write."""
    names = ("$x^2$", "_under", "<b>&</b>", r"\frac{1}", "zero\0byte")
    records = [fid(name, 1.0 + i) for i, name in enumerate(names)]
    (plot,) = drawn(tmp_path, records, "unconditional")
    texts = [t.text for t in ElementTree.fromstring(str(plot.svg)).iter(f"{SVG}text")]
    assert {name.replace("\0", "?") for name in names} <= set(texts)
    assert [s.name for s in plot.key] == list(names)


def test_nothing_in_a_plot_has_a_style_or_a_colour_of_its_own(plots):
    for plot in plots:
        for element in ElementTree.fromstring(str(plot.svg)).iter():
            assert "style" not in element.attrib and element.tag != f"{SVG}style"
            for name in ("fill", "stroke"):
                assert element.get(name, "none") == "none", (plot.title, element.attrib)


def test_what_a_plot_refers_to_is_in_it_and_in_no_other(plots):
    everything: list[str] = []
    for plot in plots:
        ids = re.findall(r' id="([^"]+)"', plot.svg)
        links = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', plot.svg)
        assert {a or b for a, b in links} <= set(ids) and links
        everything += ids
    assert len(set(everything)) == len(everything)


def test_a_plot_is_an_image_with_a_name_for_a_screen_reader(plots):
    for plot in plots:
        root = ElementTree.fromstring(plot.svg)
        texts = {element.get("id"): element.text for element in root}
        assert root.get("role") == "img"
        assert texts[root.get("aria-labelledby")] and texts[root.get("aria-describedby")]


def of_edits(table, setting, dose, off, system="DiffAE", **changes):
    """Both numbers of a row."""
    changes |= {"setting": setting, "system": system, "benchmark": "edits"}
    values = {"dose": dose, "off_target": off}
    return [number(table, metric, value, **changes) for metric, value in values.items()]


def test_two_numbers_of_a_row_share_a_plane_with_the_curve_over_strengths(tmp_path):
    """Of both tables, on linear axes though the doses span decades; a dose may be below 0."""
    records = of_edits("edits", "paper", 0.9, 0.4) + of_edits("edits", "paper", -0.1, 0.8, "PCA")
    for strength, dose, off in ((0.1, 0.05, 0.2), (0.4, 0.5, 0.3), (0.8, 1.0, 0.5)):
        setting = f"paper, strength {strength}"
        records += of_edits("edits_by_strength", setting, dose, off, split="valid")
    (plot,) = drawn(tmp_path, records, "edits")
    assert plot.title == "off target ↓ against dose" and plot.table == "edits"
    lines = {line.name: [(p.x, p.y) for p in line.points] for line in plot.key}
    assert lines == {
        "DiffAE, paper": [(0.9, 0.4)],
        "PCA, paper": [(-0.1, 0.8)],
        "DiffAE, paper, strength …": [(0.05, 0.2), (0.5, 0.3), (1.0, 0.5)],
    }
    (x0, _), (x1, _), (x2, _) = markers(plot, "DiffAE, paper, strength …")
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.45 / 0.95, abs=1e-3)
