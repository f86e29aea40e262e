import csv
import math
import re
from dataclasses import replace

import pandas as pd
import pytest
from runs import changed, number
from scipy.stats import norm

from benchmarks.core.registry import REGISTRY, specs
from reports.records.record import LOWER
from reports.tables.build import build_tables, write_tables
from reports.tables.layout import build

STEPS = (10, 20)
SPECS = specs(REGISTRY.own)


def record(table, system, setting, steps, metric, value, **changes):
    own = {"system": system, "setting": setting, "steps": steps, "benchmark": "b", "n": 1000}
    own |= {"dataset": "portraits 32", "protocol": "3f9a"}
    return number(table, metric, value, **(own | changes))


def reconstruction(table):
    systems = [("DDIM", "x_T inverted", 0.8), ("DiffAE", "x_T inverted", 0.9)]
    systems += [("dummy: perfect", "", 0.95)]
    for system, setting, base in systems:
        for steps in STEPS:
            ssim = base + steps / 1000
            for metric, value, stderr in (("ssim", ssim, 0.0012), ("mse", (1 - ssim) / 1e3, 2e-6)):
                yield record(
                    table, system, setting, steps, metric, value, stderr=stderr,
                    reference=system.startswith("dummy"),
                )  # fmt: skip


def written(tmp_path, records, name, context=None):
    write_tables(build_tables(list(records), SPECS), tmp_path, "A run", context or {})
    markdown = (tmp_path / f"{name}.md").read_text(encoding="utf-8")
    return markdown, pd.read_csv(tmp_path / f"{name}.csv", keep_default_na=True)


def cells(markdown, *starts):
    """The cells of the only table row whose first cells are `starts`."""
    rows = [[c.strip() for c in line.split(" | ")] for line in markdown.splitlines()]
    rows = [[cell.strip("| ") for cell in row] for row in rows]
    (found,) = [row for row in rows if row[: len(starts)] == list(starts)]
    return found


def test_settings_that_are_tasks_of_their_own_do_not_compete():
    """An easy edit of a worse system is not better than a hard one of a better system."""
    specs = {spec.name: spec for spec in SPECS}
    for name in ("edits_by_attribute", "latent_equivariance", "reconstruction_by_length"):
        records = [
            record(name, system, setting, None, "mse", value, stderr=0.001, direction=LOWER)
            for setting, value in (("easy", 0.1), ("hard", 0.5))
            for system, value in (("A", value), ("B", value + 0.05))
        ]
        best = build(specs[name], records).best
        assert {(r.system, r.setting) for r in best} == {("A", "easy"), ("A", "hard")}, name


@pytest.mark.parametrize("elsewhere", [{"split": "valid"}, {"dataset": "CelebA 32"}])
def test_what_was_measured_elsewhere_is_no_rival(elsewhere):
    table = "table1_reconstruction"
    rivals = [
        record(table, system, "", 10, "ssim", value, stderr=0.001)
        for system, value in (("DiffAE", 0.9), ("VAE", 0.8))
    ]
    others = [changed(r, value=r.value + 0.05, **elsewhere) for r in rivals]
    (spec,) = (spec for spec in SPECS if spec.name == table)
    assert build(spec, [*rivals, *others]).best == {rivals[0], others[0]}


def test_what_could_not_run_is_a_row_with_its_reason(tmp_path):
    table = "table2_ablation"
    missing = record(table, "VQ-GAN", "", None, "", None, note="no weights: vqgan.ckpt")
    markdown, frame = written(tmp_path, [*reconstruction(table), missing], table)
    rows = [line for line in markdown.splitlines() if line.startswith("| VQ-GAN")]
    assert len(rows) == 2
    assert all(row.count("n/a<sup>1</sup>") == len(STEPS) for row in rows)
    assert "1. no weights: vqgan.ckpt" in markdown
    absent = frame[frame["system"] == "VQ-GAN"]
    assert absent["value"].isna().all()
    assert set(absent["note"]) == {"no weights: vqgan.ckpt"}


def test_a_missing_row_does_not_hide_a_number(tmp_path):
    table = "table1_reconstruction"
    size = record(table, "timm", "", None, "latent_dim", 1280.0)
    missing = record(table, "timm", "", None, "", None, note="cannot decode")
    markdown, _ = written(tmp_path, [*reconstruction(table), size, missing], table)
    row = cells(markdown, "timm", "", "")
    assert row[3:] == ["n/a<sup>1</sup>", "n/a<sup>1</sup>", "1,280"]


def test_systems_are_columns_of_table_4_and_compete_in_a_row(tmp_path):
    table = "table4_unconditional_fid"
    values = {("DDIM", 10): 29.563, ("DDIM", 20): 9.0, ("DiffAE", 10): 20.8, ("DiffAE", 20): 16.7}
    records = [record(table, s, "", t, "fid", v, stderr=0.5) for (s, t), v in values.items()]
    markdown, _ = written(tmp_path, records, table)
    assert cells(markdown, "T")[1:] == ["DDIM FID ↓", "DiffAE FID ↓"]
    assert cells(markdown, "10")[1:] == ["29.56 ± 0.50", "**20.80** ± 0.50"]
    assert cells(markdown, "20")[1:] == ["**9.00** ± 0.50", "16.70 ± 0.50"]


def test_a_system_without_a_number_is_a_reason_and_no_empty_column(tmp_path):
    table = "table4_unconditional_fid"
    records = [
        record(table, "VAE", "", None, "", None, note="VAE cannot sample"),
        record(table, "real images", "", None, "fid", 9.0, reference=True),
        record(table, "DDIM", "", 10, "fid", 29.563),
    ]
    markdown, frame = written(tmp_path, records, table)
    assert cells(markdown, "T")[1:] == ["real images FID ↓", "DDIM FID ↓"]
    assert cells(markdown, "no T")[1:] == ["9.00", "–"]
    assert cells(markdown, "10")[1:] == ["–", "29.56"]
    assert "Not measured: VAE cannot sample." in markdown
    assert list(frame["note"].dropna()) == ["VAE cannot sample"]


def test_probes_split_into_means_and_attributes(tmp_path):
    table = "section5.3_probe"
    records = [
        record(table, system, setting, None, "auroc", value, stderr=0.001)
        for system, value in (("DiffAE", 0.925), ("StyleGAN2 (W)", 0.891))
        for setting in ("mean", "prevalence-weighted mean", "5_o_Clock_Shadow", "Male")
    ]
    means, _ = written(tmp_path, records, table)
    assert cells(means, "system")[1:] == ["mean AUROC ↑", "prevalence-weighted mean AUROC ↑"]
    assert cells(means, "DiffAE")[1:] == ["**0.9250** ± 0.0010"] * 2
    attributes, frame = written(tmp_path, records, "section5.3_probe_attributes")
    assert cells(attributes, "5_o_Clock_Shadow")[1:] == ["**0.9250** ± 0.0010", "0.8910 ± 0.0010"]
    assert set(frame["setting"]) == {"5_o_Clock_Shadow", "Male"}


def test_mean_and_median_of_a_path_length_do_not_compete(tmp_path):
    table = "appendix_f_smoothness"
    values = {("DDIM", "mean"): 42.0, ("DDIM", "median"): 12.8}
    values |= {("DiffAE", "mean"): 13.4, ("DiffAE", "median"): 9.0}
    about = {"metric": "ppl", "stderr": 0.1}
    records = [record(table, s, number, 20, value=v, **about) for (s, number), v in values.items()]
    markdown, _ = written(tmp_path, records, table)
    assert cells(markdown, "system")[2:] == ["mean PPL ↓", "median PPL ↓"]
    assert cells(markdown, "DiffAE")[2:] == ["**13.40** ± 0.10", "**9.00** ± 0.10"]
    assert cells(markdown, "DDIM")[2:] == ["42.00 ± 0.10", "12.80 ± 0.10"]


def test_two_protocols_become_two_rows_and_a_contradiction_is_refused():
    table = "appendix_f_smoothness"
    one = record(table, "DiffAE", "", 100, "ppl", 600.0)
    other = record(table, "DiffAE", "", 100, "ppl", 700.0, protocol="77b0")
    _, built = build_tables([one, one, other], SPECS)
    assert built.panels[0].headers == ("system", "T", "protocol", "PPL ↓")
    with pytest.raises(ValueError, match="appendix_f_smoothness: two records"):
        build_tables([one, record(table, "DiffAE", "", 100, "ppl", 601.0)], SPECS)


def test_overview_gives_the_smallest_detectable_change(tmp_path):
    table = "table1_reconstruction"
    markdown, frame = written(tmp_path, reconstruction(table), "overview")
    row = frame[(frame["system"] == "DiffAE") & (frame["metric"] == "ssim")].iloc[0]
    error = math.sqrt(2) * 0.0012  # of the difference of two runs
    seen = norm.sf(norm.isf(0.025), loc=row["detectable_change"] / error)
    assert seen == pytest.approx(0.8, abs=1e-4)
    assert set(frame["steps"]) == {20}
    line = next(text for text in markdown.splitlines() if "DiffAE" in text and "SSIM" in text)
    for part in ("0.9200 ± 0.0012", "0.0048", "1,000", "3f9a"):
        assert part in line


NASTY = [
    "<script>alert(1)</script>",
    'a, "quoted" name',
    "a|b <img src=x> *b* [l](u) <b>",
    "=1+1",
    " =1+1",
    "\n+1",
    "-2,@x",
    "two\nlines",
    "a\rb",
    "\x1b[2J \x00 \u202eevil",
    "`code` ~~x~~ $y$ # 1. <!-- --> ![x](http://y)",
]


@pytest.mark.parametrize("name", NASTY)
def test_any_name_is_one_harmless_cell(tmp_path, name):
    records = [
        record("table1_reconstruction", name, name, 100, "ssim", -0.5, note=name, dataset=name),
        record("table1_reconstruction", "DiffAE", "", 100, "ssim", 0.25, dataset=name),
    ]
    write_tables(build_tables(records, SPECS), tmp_path, name, {"run": name})
    page = (tmp_path / "table1_reconstruction.md").read_text(encoding="utf-8")
    assert not re.search(r"<(script|img|b>|!--)", page)
    assert all(c.isprintable() or c == "\n" for c in page)
    assert re.search(r"(?<!\\)(~~|`|\$|!\[)", page) is None
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len(rows) == 4  # the header, the line under it and the two systems
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    with (tmp_path / "table1_reconstruction.csv").open(newline="", encoding="utf-8") as file:
        header, first, second = csv.reader(file, strict=True)
    assert len(header) == len(first) == len(second)
    assert first[header.index("value")] == "-0.5"  # a number is no formula
    cell = first[header.index("system")]
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert cell.removeprefix("'") == name.replace("\r", "\n")


def test_a_table_name_from_outside_stays_in_the_folder(tmp_path):
    tables = build_tables([record("../up", "a", "", 1, "x", 1.0)])
    write_tables(tables, tmp_path / "out", "t", {})
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and len(
        list((tmp_path / "out").iterdir())
    ) == 4
    with pytest.raises(ValueError, match="overview"):
        build_tables([record("overview", "a", "", 1, "x", 1.0)])


def test_the_table_of_a_suite_has_a_row_for_each_system_of_one_data_set():
    """The best beyond noise is bold, never a reference; a system without a number has an empty cell."""
    table = "table1_reconstruction"
    rows = [
        number(table, "ssim", 0.9, setting="", stderr=0.01),
        number(table, "ssim", 0.8, setting="", system="DDIM", stderr=0.01),
        number(table, "ssim", 0.99, setting="", system="real images", reference=True),
        number(table, "mse", 0.1, setting="", system="DDIM"),
    ]
    (spec,) = (one for one in SPECS if one.name == table)
    built = build_tables(rows, [replace(spec, headline=("mse", "ssim"))], suite="s-v1")
    assert [one.name for one in built] == ["overview", "s-v1", table]
    (panel,) = built[1].panels
    assert panel.headers == ("system", "reconstruction, MSE ↓", "reconstruction, SSIM ↑")
    assert [[cell.text for cell in row] for row in panel.rows] == [
        ["DDIM", "0.1000", "0.8000"],
        ["DiffAE", "", "0.9000"],
        ["real images", "", "0.9900"],
    ]
    assert [[cell.best for cell in row[1:]] for row in panel.rows] == [
        [False, False],
        [False, True],
        [False, False],
    ]
    apart, shown = [replace(rows[0], setting="s"), rows[1]], {"headline_settings": ("",)}
    spec_of_all = replace(spec, headline=("ssim",), **shown)  # each at its own setting
    assert [r.system for r in build_tables(apart, [spec_of_all], suite="s-v1")[1].best] == [
        "DiffAE"
    ]
    two = [*rows, changed(rows[0], dataset="others", value=0.95)]
    assert [one.name for one in build_tables(two, [spec], suite="s-v1")] == ["overview", table]
