import math
from functools import partial

import numpy as np
import pytest
from runs import SCORES, changed, fid, measured, number, two_systems, write_run
from scipy import stats
from scipy.stats import norm

from reports.page.summary import summary
from reports.page.verdicts import verdicts
from reports.records.record import NEITHER
from reports.tables.build import read
from reports.tables.contests import ALONE, BEHIND, CLEAR, LEVEL, NOTHING, SAID

RNG = np.random.default_rng(1)


def verdict_of(run):
    (found,) = verdicts(read([run]))
    return found


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


@pytest.mark.parametrize("others", [(), ("My VAE",)])
def test_every_reference_that_is_better_than_a_system_is_named(tmp_path, others):
    """Here by an AUROC on the same images: four are better than the best system, one is better than
    My VAE alone, which is behind by 0.02, and one than none. On the terminal too.
    """
    better = ["random encoder", "pixels", "timm", "raw pixels"]
    shifts = {"DiffAE": 0.0, **dict.fromkeys(others, -0.02)}
    scale = {**dict.fromkeys(better, 0.019), "half": -0.01, "noise": -0.3}
    records = [
        measured(
            number(
                "section5.3_probe", "auroc", None, system=system, setting="mean",
                benchmark="probes", reference=system in scale,
            ),
            SCORES + shift + RNG.normal(0, 1e-3, 50),
        )
        for system, shift in {**shifts, **scale}.items()
    ]  # fmt: skip
    run = write_run(tmp_path / "run", records)
    found = verdict_of(run)
    assert found.kind == BEHIND
    said = found.text.partition("For reference: ")[2]
    for name in better:
        assert f"{name} " in said and said.count("(better)") == len(better)
    assert ("half" in said, "(better than 1 of 2)" in said) == (bool(others), bool(others))
    assert "noise" not in said
    lines = summary(read([run]))
    told = dict.fromkeys(better, "reference, better")
    told["half"] = "reference, better than 1 of 2" if others else "reference"
    for name, words in told.items():
        assert [line for line in lines if f" {name} " in line and line.endswith(f"  {words}")]
    assert lines[0].endswith("  best system" if others else "  the only system")


def test_numbers_that_depend_on_n_compare_at_one_n(tmp_path):
    """Two systems have 128 samples and compare; a third and real images of 2,048 do not, whatever
    they have.
    """
    rows = (("A", 90.0, 128, False), ("B", 80.0, 128, False), ("C", 9.0, 2_048, False))
    rows += (("real, 2,048", 1.0, 2_048, True), ("real, 128", 50.0, 128, True))
    records = [fid(s, v, n=n, reference=reference) for s, v, n, reference in rows]
    text = verdict_of(write_run(tmp_path / "run", records)).text
    assert text.startswith("Of B and A, B is best: FID 80.00 ± 0.00 (n = 128). A follows")
    assert "Not compared, for FID depends on n, here 128: C (n = 2,048)." in text
    assert text.endswith("For reference: real, 128 50.00 ± 0.00 (better).")


def test_in_how_many_classes_a_reference_is_better(tmp_path):
    """Naive of the same n is better in one class of two; naive of all images, 2,048, is nearer than
    both, and plays no part.
    """
    table, records = "table3_fewshot_fid", []
    for setting, ours, naive in (("binary/Male", 300.0, 310.0), ("pu/Male", 320.0, 310.0)):
        named = {"benchmark": "fewshot", "setting": setting, "stderr": 0.0}
        records += [
            number(table, "fid", ours, n=128, **named),
            number(table, "fid", naive, n=128, system="naive", reference=True, **named),
            number(
                table, "fid", 14.0, n=2_048, system="naive (all images)", reference=True, **named
            ),
        ]
    text = verdict_of(write_run(tmp_path / "run", records)).text
    assert text == (
        "DiffAE has FID (binary/Male) 300.00 ± 0.00 (n = 128); no other system was measured. "
        "Of 2 rows (by class), naive is better than all in 1. For reference: naive 310.00 ± 0.00."
    )


@pytest.mark.parametrize(("behind", "kind"), [(20.0, BEHIND), (0.1, ALONE), (-20.0, ALONE)])
@pytest.mark.parametrize("rival", [False, True])
def test_samples_that_are_worse_than_naive_are_said_to_be_so(tmp_path, behind, kind, rival):
    """In each of eight classes by `behind`, where chance is 3; a system that is worse still does not
    make them good.
    """
    records = []
    for i in range(8):
        row = partial(
            number, "table3_fewshot_fid", "kid", None, setting=f"binary/{i}", benchmark="fewshot"
        )
        for system, more in (("naive", 0.0), ("DiffAE", behind), ("DDIM", behind + 90)):
            values = RNG.normal(0, 15 / np.sqrt(2), 50)
            values += 300 + more - values.mean()
            if rival or system != "DDIM":
                record = row(system=system, reference=system == "naive")
                records.append(measured(record, values, units=f"blocks of {system}, {i}"))
    found = verdict_of(write_run(tmp_path / "run", records))
    assert found.kind == (CLEAR if rival and kind == ALONE else kind)
    words = "Of 8 rows (by class), naive is better than all in 8."
    assert (words in found.text) == (behind == 20)
    assert ("(within noise)" in found.text) == (behind == 0.1)


def test_in_how_many_classes_each_system_is_best(tmp_path):
    records = [
        number("table3_fewshot_fid", "fid", value, system=system, setting=f"binary/{i}", benchmark="fewshot")
        for i, values in enumerate(((1.0, 2.0), (2.0, 1.0), (1.0, 2.0)))
        for system, value in zip("AB", values, strict=True)
    ]  # fmt: skip
    said = verdict_of(write_run(tmp_path / "run", records)).text
    assert "Of 3 rows (by class), A is best in 2 and B is best in 1." in said


@pytest.mark.parametrize(("odd", "is_named"), [(1.0, True), (-0.3, True), (0.01, False)])
def test_one_image_that_carries_a_difference_is_named(tmp_path, odd, is_named):
    """DDIM is behind by some 0.01 on all images but number 7, where it fails or is far ahead."""
    behind = RNG.normal(0.01, 0.001, 50)
    behind[7] = odd
    run = two_systems(tmp_path / "run", behind)
    lines = ["benchmark,system,dataset,split,setting,steps,solver,calls,image,file,ssim"]
    for system, scores in (("DiffAE", SCORES), ("DDIM", SCORES - behind)):
        lines += [
            f"reconstruction,{system},portraits,test,,,,,{i},{i:06}.png,{score!r}"
            for i, score in enumerate(scores.tolist())
        ]
    (run / "samples.csv").write_text("\n".join(lines))
    verdict = verdict_of(run)
    assert verdict.kind == (LEVEL if is_named else CLEAR)
    sentence = "One image, 000007.png, carries this difference: without it DDIM is "
    assert (sentence in verdict.text) == is_named
    if is_named:
        rest = np.delete(behind, 7)
        error = rest.std(ddof=1) / np.sqrt(49)
        assert f"{sentence}{rest.mean():.5f} ± {error:.5f} behind, beyond noise." in verdict.text
        (run / "samples.csv").write_text("\n".join(lines[:-1]))  # not the scores of all images
        assert "One image carries this difference" in verdict_of(run).text


def test_what_could_not_be_measured_is_named(tmp_path):
    records = [number("table1_reconstruction", "ssim", None, note="it cannot")]
    found = verdict_of(write_run(tmp_path / "run", records))
    assert found.kind == NOTHING and "Not measured: DiffAE" in found.text


def test_a_benchmark_without_its_headline_is_not_called_not_measured(tmp_path):
    records = [
        number("section5.5_cost", "parameters", None, setting="total", benchmark="cost"),
        number("section5.5_cost", "gflops", 31.0, setting="decode", benchmark="cost"),
    ]
    found = verdict_of(write_run(tmp_path / "run", records))
    assert (found.kind, found.text) == (SAID, "Its numbers are in the tables.")


def test_on_which_side_of_its_neutral_value_a_ratio_is(tmp_path):
    for low, high, words in (
        (0.8, 0.9, "0.850 ± 0.026 (below 1)"),
        (0.9, 1.2, "1.050 ± 0.077 (1 within noise)"),
        (1.1, 1.2, "1.150 ± 0.026 (above 1)"),
    ):
        record = number(
            "appendix_c_memorisation", "nn_ratio_pixels", (low + high) / 2, setting="median",
            benchmark="memorisation", stderr=(high - low) / 2 / norm.ppf(0.975), df=math.inf,
        )  # fmt: skip
        plain = changed(record, system="DDIM", value=0.5, stderr=None)
        scale = changed(plain, system="held-out images", value=1.0, reference=True)
        found = verdict_of(write_run(tmp_path / f"run{low}", [record, plain, scale]))
        said = "pixel ratio (median) (n = 50; below 1: nearer than new images): DiffAE "
        others = "; DDIM 0.500. For reference: held-out images 1.000."
        assert (found.kind, found.text) == (SAID, said + words + others)


def test_another_best_by_another_metric_is_said(tmp_path):
    table, records = "table1_reconstruction", []
    for system, ssim, mse in (("A", 0.0, 0.3), ("B", 0.1, 0.2)):
        records.append(measured(number(table, "ssim", None, system=system), SCORES - ssim))
        records.append(measured(number(table, "mse", None, system=system), SCORES * mse))
    assert "By MSE it is B" in verdict_of(write_run(tmp_path / "run", records)).text


def test_an_edit_is_told_with_how_far_it_moved_the_logit(tmp_path):
    """At the largest strength, where the identity is kept least."""
    row = partial(number, "appendix_g_identity", benchmark="identity")
    records = [
        row("arcface", 0.75, setting="Male 0.3"),
        row("arcface", 0.25, setting="Male 0.8"),
        row("logit_change", 1.0, setting="Male 0.3", direction=NEITHER),
        row("logit_change", 2.0, setting="Male 0.8", direction=NEITHER),
    ]
    text = verdict_of(write_run(tmp_path / "run", records)).text
    assert text.startswith("DiffAE has ArcFace (Male 0.8) 0.2500 (n = 50)")
    assert text.endswith("Beside it, logit change: DiffAE 2.000.")


def test_of_several_feature_networks_the_published_one_is_quoted(tmp_path):
    row = partial(number, "appendix_c_memorisation", benchmark="memorisation", setting="median")
    records = [row("nn_ratio_effnet", 0.5), row("nn_ratio_inception", 0.75)]
    said = verdict_of(write_run(tmp_path / "run", records)).text
    assert said.startswith("Inception ratio") and "0.750" in said and "0.5" not in said


def test_systems_that_were_measured_otherwise_are_said_to_be_left_out(tmp_path):
    """And only those: references that were do not compete anyway."""
    protocol = {"benchmark": "reconstruction", "seed": 0, "transform": {"crop": "none"}}
    said = "Others were measured by a different protocol and are not compared."
    for reference in (False, True):
        runs = [
            write_run(tmp_path / f"{reference}" / name, records, **notes)
            for name, records, notes in (
                ("a", [number("table1_reconstruction", "ssim", 0.9)], {}),
                (
                    "b",
                    [number("table1_reconstruction", "ssim", 0.8, system="B", reference=reference)],
                    {"protocols": {"p0": protocol}},
                ),
            )
        ]
        (found,) = verdicts(read(runs))
        assert (said in found.text) is not reference
        words = "can be compared with it" if not reference else "was measured"
        assert found.text.startswith(f"DiffAE has SSIM 0.9000 (n = 50); no other system {words}.")
