import numpy as np
import pytest
from page_runs import SCORES, measured, number, two_systems, write_run
from scipy import stats

from reports.page.contest import ALONE, CLEAR, LEVEL, NOTHING
from reports.page.reading import read
from reports.page.verdicts import verdicts
from reports.records import record_key

RNG = np.random.default_rng(1)


def verdict_of(run):
    (found,) = verdicts(read([run]))
    return found


def test_a_paired_difference_decides(tmp_path):
    """Behind by 0.001 on every image but for a little: scores spread by 0.02, so that only pairing shows it."""
    behind = RNG.normal(0.001, 0.0005, 50)
    assert stats.ttest_ind(SCORES, SCORES - behind).pvalue > 0.5
    assert stats.ttest_1samp(behind, 0).pvalue < 1e-6
    found = verdict_of(two_systems(tmp_path / "run", behind))
    assert found.kind == CLEAR
    error = behind.std(ddof=1) / np.sqrt(50)
    assert f"{behind.mean():.6f} ± {error:.6f} behind" in found.text


@pytest.mark.parametrize("p", [0.045, 0.055])
def test_the_line_between_clear_and_noise_is_a_t_test_of_five_per_cent(tmp_path, p):
    noise = RNG.normal(0, 0.01, 50)
    noise -= noise.mean()
    wanted = stats.t.isf(p / 2, 49) * noise.std(ddof=1) / np.sqrt(50)
    behind = noise + wanted
    assert stats.ttest_1samp(behind, 0).pvalue == pytest.approx(p, rel=1e-6)
    found = verdict_of(two_systems(tmp_path / "run", behind))
    assert found.kind == (CLEAR if p < 0.05 else LEVEL)
    assert ("cannot be told apart from DDIM" in found.text) == (p > 0.05)


def test_equal_systems_are_said_to_be_the_same(tmp_path):
    found = verdict_of(two_systems(tmp_path / "run", np.zeros(50)))
    assert found.kind == LEVEL and "DDIM the same" in found.text


def test_lower_is_better_where_it_is(tmp_path):
    records = [
        number("table4_unconditional_fid", "fid", value, system=system, benchmark="unconditional")
        for system, value in (("A", 12.0), ("B", 9.0))
    ]
    found = verdict_of(write_run(tmp_path / "run", records))
    assert found.text.startswith(
        "B draws the samples that are nearest to the data: FID 9.00. A follows with 12.00"
    )
    assert "no error of this difference is known" in found.text


def test_rows_of_a_scale_never_win(tmp_path):
    table = "table4_unconditional_fid"
    records = [
        number(table, "fid", 9.0, benchmark="unconditional"),
        number(table, "fid", 1.0, system="real images", benchmark="unconditional", reference=True),
    ]
    found = verdict_of(write_run(tmp_path / "run", records))
    assert found.kind == ALONE and "Only DiffAE" in found.text and "real images 1.00" in found.text


def test_what_could_not_be_measured_is_named(tmp_path):
    records = [number("table1_reconstruction", "ssim", None, note="it cannot")]
    found = verdict_of(write_run(tmp_path / "run", records))
    assert found.kind == NOTHING and "Not measured: DiffAE" in found.text


def test_samples_nearer_than_new_images_are_called_so(tmp_path):
    for low, high, words in (
        (0.8, 0.9, "a sign of memorising"),
        (0.9, 1.1, "within noise"),
        (1.1, 1.2, "farther"),
    ):
        record = number(
            "appendix_c_memorisation", "nn_ratio_pixels", (low + high) / 2, setting="median",
            benchmark="memorisation", ci_low=low, ci_high=high,
        )  # fmt: skip
        assert words in verdict_of(write_run(tmp_path / f"run{low}", [record])).text


def test_another_best_by_another_metric_is_said(tmp_path):
    table, pairs = "table1_reconstruction", []
    for system, ssim, mse in (("A", 0.0, 0.3), ("B", 0.1, 0.2)):
        pairs.append(measured(number(table, "ssim", None, system=system), SCORES - ssim))
        pairs.append(measured(number(table, "mse", None, system=system), SCORES * mse))
    records = [record for record, _ in pairs]
    run = write_run(tmp_path / "run", records, {record_key(r): u for r, u in pairs})
    assert "By MSE it is B" in verdict_of(run).text
