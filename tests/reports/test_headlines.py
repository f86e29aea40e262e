"""The table of headlines: its rows and cells, what is bold, and what forbids a comparison."""

from dataclasses import replace

import numpy as np
import pytest
from runs import SCORES, fid, harmful, measured, number, write_run

from reports.page.first_screen import plot_of
from reports.page.summary import WIDTH, summary
from reports.records.record import NEITHER
from reports.tables.build import read
from reports.tables.headlines import cautions, headline_rows, table_of_headlines
from reports.tables.ranking import CODE, WITH_NOISE

TABLE = "table1_reconstruction"
RNG = np.random.default_rng(1)


def rows_of(folder, records, **notes):
    merged = read([write_run(folder, records, **notes)])
    return merged, headline_rows(merged)


def cells_of(merged, rows):
    """The texts of the table, one dictionary for each row, and what is bold in it."""
    panel = table_of_headlines(merged, rows).panels[0]
    names = [header.partition(",")[0] for header in panel.headers]
    return [dict(zip(names, row, strict=True)) for row in panel.rows]


def ssim(system, shift, setting="", **fields):
    record = number(TABLE, "ssim", None, system=system, setting=setting, **fields)
    return measured(record, SCORES + shift + RNG.normal(0, 1e-3, 50))


def size(system, value, setting=""):
    return number(
        TABLE, "latent_dim", value, system=system, setting=setting, n=1, direction=NEITHER
    )


def test_inverted_noise_has_a_row_of_its_own_and_never_beats_a_smaller_code(tmp_path):
    records = [
        ssim("mine", -0.3), size("mine", 64.0),
        ssim("DiffAE", 0.0, "x_T inverted"), size("DiffAE", 3_328.0, "x_T inverted"),
        ssim("DiffAE", -0.45, "x_T random"), size("DiffAE", 256.0, "x_T random"),
        ssim("DDIM", -0.1, "x_T inverted"), size("DDIM", 3_072.0, "x_T inverted"),
        ssim("PCA", -0.2, reference=True),
    ]  # fmt: skip
    merged, rows = rows_of(tmp_path / "run", records)
    alone, whole = rows
    assert (alone.kind, whole.kind) == (CODE, WITH_NOISE)
    assert {r.system for r in alone.best} == {"mine"} and {r.system for r in whole.best} == {
        "DiffAE"
    }
    assert alone.numbers["DiffAE"].setting == "x_T random"
    assert (
        "includes the inverted noise" in alone.why["DDIM"]
        and whole.why["mine"] == "inverts no noise"
    )
    assert [r.system for r in alone.references] == ["PCA"] and not whole.references
    headers = table_of_headlines(merged, rows).panels[0].headers
    assert "DiffAE, code of 256, with inverted noise 3,328" in headers
    assert "DDIM, code with inverted noise 3,072" in headers and "mine, code of 64" in headers
    assert cautions(merged, rows)[-1] == (
        "Codes differ in size: mine 64 and DiffAE 256 (code); "
        "DDIM 3,072 and DiffAE 3,328 (code and inverted noise)."
    )


def test_codes_of_one_size_need_no_caution(tmp_path):
    records = [ssim("A", 0.0), size("A", 256.0), ssim("B", 0.1), size("B", 256.0)]
    assert not any("differ in size" in line for line in cautions(*rows_of(tmp_path, records)))


def test_a_number_of_another_n_is_shown_and_not_compared(tmp_path):
    records = [fid("A", 90.0, n=128), fid("B", 80.0, n=128), fid("C", 9.0, n=2_048)]
    records.append(fid("real, 2,048", 1.0, n=2_048, reference=True))
    merged, (row,) = rows_of(tmp_path / "run", records)
    (cells,) = cells_of(merged, [row])
    assert {r.system for r in row.best} == {"B"} and not row.references
    assert cells["C"].text == "9.00" and cells["C"].note == "not compared: n = 2,048"
    assert not cells["C"].best and cells["B"].best


def test_t_is_that_of_the_systems_that_take_steps(tmp_path):
    records = [ssim("DiffAE", 0.0, steps=10), ssim("mine", 0.1)]
    merged, rows = rows_of(tmp_path / "run", records)
    (cells,) = cells_of(merged, rows)
    assert cells["measured"].text == "T = 10, n = 50"


def test_an_empty_cell_says_why(tmp_path):
    probe = number("section5.3_probe", "auroc", 0.9, benchmark="probes", setting="mean")
    absent = number(
        "section5.3_probe", "", None, benchmark="probes", system="DDIM", note="cannot encode"
    )
    merged, rows = rows_of(tmp_path / "run", [ssim("DDIM", 0.0), probe, absent])
    first, second = cells_of(merged, rows)
    assert (first["DiffAE"].record, first["DiffAE"].note) == (None, "not measured")
    assert (second["DDIM"].record, second["DDIM"].note) == (None, "cannot encode")
    assert "- Not measured: probes (DDIM)." in summary(merged)


def test_a_benchmark_is_shown_by_a_headline_that_no_earlier_row_has(tmp_path):
    """The mean AUROC of `representation` is that of `probes`: its k-NN accuracy stands there."""
    shown = [("section5.3_probe", "probes", "auroc"), ("representation", "representation", "auroc")]
    records = [number(t, m, 0.9, benchmark=b, setting="mean") for t, b, m in shown]
    records.append(number("representation", "knn", 0.7, benchmark="representation", setting="mean"))
    _, rows = rows_of(tmp_path / "run", records)
    assert [(r.benchmark, r.metric) for row in rows for r in row.records] == [
        ("probes", "auroc"), ("representation", "knn"),
    ]  # fmt: skip


def test_cautions_name_what_forbids_a_comparison_and_nothing_else(tmp_path):
    few = measured(
        number(
            "appendix_f_smoothness",
            "ppl_effnet",
            None,
            benchmark="interpolation",
            setting="mean",
            n=24,
        ),
        SCORES[:24],
    )
    notes = {
        "seen_in_training": {"DiffAE": "its training images are among these"},
        "comparison": {"text": "Images are compared at 32 px; resized to it: A from 64 px."},
        "precision": "bfloat16",
    }
    note = "a dose of 1 is out of reach"
    records = [replace(ssim("DiffAE", 0.0), note=note), ssim("DDIM", 0.1), few]
    merged, rows = rows_of(tmp_path / "run", records, **notes)
    assert cautions(merged, rows) == [
        "Few images, so that small differences cannot be seen: interpolation (n = 24) and reconstruction (n = 50).",
        "Stand-in networks, not comparable with published values: ppl_effnet instead of PPL.",
        "Images are compared at 32 px; resized to it: A from 64 px.",
        "Trained on these images: DiffAE.",
    ]  # fmt: skip


def test_the_plot_has_each_headline_between_its_worst_and_its_best_end(tmp_path):
    """Also where lower is better: the right end is always the better one."""
    records = [ssim("A", 0.0), ssim("B", 0.1)]
    fields = {"benchmark": "denoising", "setting": "t = 500"}
    records += [
        measured(number("figure6_denoising", "mse", None, system=s, **fields), SCORES + shift)
        for s, shift in (("A", 0.0), ("B", 0.1))
    ]
    merged, rows = rows_of(tmp_path / "run", records)
    a, b = plot_of(rows, merged).key
    low, high = rows[0].numbers["A"].ci_low, rows[0].numbers["B"].ci_high
    share = (rows[0].numbers["A"].value - low) / (high - low)
    assert a.points[0].y == pytest.approx(share) and a.points[0].low == 0 and b.points[0].high == 1
    assert b.points[0].y > a.points[0].y and a.points[1].y > b.points[1].y
    assert (a.points[1].high, b.points[1].low) == (1, 0)


# ----------------------------------------------------------------------------------------------
# On a terminal


@pytest.mark.parametrize("count", [1, 5, 11])
def test_it_fits_a_terminal_however_many_systems_there_are(tmp_path, count):
    records = [ssim(f"a system of a long name, number {i}", -i / 100) for i in range(count)]
    merged, _ = rows_of(tmp_path / "run", [*records, ssim("scale", 0.0, reference=True)])
    lines = summary(merged)
    assert max(map(len, lines)) <= WIDTH
    text = " ".join(" ".join(lines).split())
    for r in records:
        assert f"{r.value:.4f}" in text
    assert text.count("*") == (2 if count > 1 else 1)  # the best, and the legend
    assert "scale" in text


def test_names_from_outside_stay_on_their_line(tmp_path):
    for line in summary(read([harmful(tmp_path / "run")])):
        assert "\n" not in line and len(line) <= WIDTH


def test_what_was_not_measured_is_said_once(tmp_path):
    note = "folder has no attributes"
    absent = [
        replace(number(table, "auroc", None), benchmark=b, system="all systems", note=note)
        for b, table in (("probes", "section5.3_probe"), ("identity", "appendix_g_identity"))
    ]
    merged, _ = rows_of(tmp_path / "run", [ssim("DiffAE", 0.0), *absent])
    assert summary(merged)[-1] == f"- Not measured: probes, identity (all systems: {note})."


def test_a_run_without_a_headline_has_no_table(tmp_path):
    absent = number(TABLE, "ssim", None, note="too slow")
    merged, rows = rows_of(tmp_path / "run", [absent])
    assert not rows and summary(merged) == ["- Not measured: reconstruction (DiffAE)."]


def test_a_reference_that_was_not_measured_is_no_system_that_is_missing(tmp_path):
    probe = {"benchmark": "probes", "note": "no labels"}
    records = [
        ssim("DiffAE", 0.0),
        number("section5.3_probe", "auroc", None, **probe),
        number("section5.3_probe", "auroc", None, system="pixels", reference=True, **probe),
    ]
    merged, _ = rows_of(tmp_path / "run", records)
    assert summary(merged)[-1] == "- Not measured: probes (DiffAE)."
