import re
from dataclasses import replace
from pathlib import Path

import pytest
from lone_context import lone_context
from runs import TABLE1, number, recorded, write_run

import benchmarks
from benchmarks.tasks.fewshot.classes import RULES
from benchmarks.tasks.shared.probe_fits import ADAM
from reports.make import main
from reports.records.estimate import Estimate
from reports.records.published import PROTOCOLS, STEPS, attach, lookup, stands_beside
from reports.records.record import Record
from reports.tables.build import read
from reports.tables.numbers import reference_text


def record(n=None, **changes):
    base = {
        "benchmark": "reconstruction",
        "table": "table1_reconstruction",
        "system": "DiffAE",
        "dataset": "FFHQ -> CelebA-HQ 30k @128",
        "split": "test",
        "setting": "x_T inverted",
        "steps": 100,
        "metric": "ssim",
    }
    return Record(**(base | changes), estimate=Estimate(0.98, n=n))


@pytest.mark.parametrize(
    ("table", "system", "setting", "steps", "metric", "value"),
    [
        ("table1_reconstruction", "DiffAE", "x_T inverted", 100, "ssim", 0.991),
        ("table1_reconstruction", "DiffAE", "x_T inverted", 100, "mse", 6.07e-5),
        ("table1_reconstruction", "DiffAE", "x_T random", 100, "ssim", 0.677),
        ("table1_reconstruction", "DiffAE", "x_T random", None, "latent_dim", 512),
        ("table1_reconstruction", "DDIM", "x_T inverted", 100, "lpips", 0.063),
        ("table1_reconstruction", "StyleGAN2 (W)", "", None, "lpips", 0.168),
        ("table2_ablation", "DiffAE", "x_T inverted", 20, "ssim", 0.927),
        ("table2_ablation", "DiffAE", "x_T random", 10, "ssim", 0.707),
        ("table2_ablation", "DiffAE 64D", "x_T random", 50, "mse", 0.020),
        ("table2_ablation", "DiffAE 512D 48M", "x_T random", 100, "ssim", 0.631),
        ("section5.3_probe", "DiffAE", "mean", None, "auroc", 0.925),
        ("section5.3_probe", "StyleGAN2 (W)", "mean", None, "auroc", 0.891),
        ("table3_fewshot_fid", "DiffAE", "binary/Male", 100, "fid", 11.52),
        ("table3_fewshot_fid", "naive (all images)", "pu/Non-Blond", None, "fid", 0.96),
    ],
)
def test_values_of_the_paper(table, system, setting, steps, metric, value):
    found = lookup(table, system, setting=setting, steps=steps, metric=metric)
    assert found is not None
    assert found.value == value


@pytest.mark.parametrize(
    ("dataset", "fid", "theirs"),
    [
        ("FFHQ 128", 10.59, "FFHQ 128"),
        ("ffhq128", 10.59, "FFHQ 128"),
        ("Horse 128", 6.71, "Horse 128"),
    ],
)
def test_table_4_goes_by_data_set(dataset, fid, theirs):
    found = lookup(
        "table4_unconditional_fid", "DiffAE", dataset=dataset, setting="", steps=100, metric="fid"
    )
    assert (found.value, found.dataset) == (fid, theirs)
    assert found.published_source == "Preechakul et al. 2022, Table 4"


@pytest.mark.parametrize(
    ("dataset", "there"),
    [("portraits", False), ("celeba-hq", True), ("CelebA 64", False), ("fashion-mnist", False)],
)
def test_the_mean_over_celeba_s_attributes_is_beside_no_mean_of_other_classes(dataset, there):
    about = {"table": "section5.3_probe", "metric": "auroc", "setting": "mean", "steps": None}
    row = record(**about, dataset=dataset, direction="higher")
    found = attach(row, FULL)
    assert (found.published is not None) == there
    assert reference_text(found) == ("(0.925)" if there else "")  # not compared: no difference
    assert attach(row, FULL | {"attributes": "39, not CelebA's 40"}).published is None


@pytest.mark.parametrize(
    ("table", "system", "setting", "steps", "metric"),
    [
        ("table1_reconstruction", "DDIM", "x_T random", 100, "ssim"),
        ("table1_reconstruction", "DiffAE", "x_T inverted", 100, "psnr"),
        ("table2_ablation", "DiffAE", "x_T inverted", 30, "ssim"),
        ("table4_unconditional_fid", "DiffAE", "", None, "fid"),
        ("section5.3_probe", "DiffAE", "Smiling", None, "auroc"),
        ("table1_reconstruction", "mine", "", 100, "ssim"),
        ("cost", "DiffAE", "", 100, "parameters"),
    ],
)
def test_what_the_paper_does_not_give(table, system, setting, steps, metric):
    assert lookup(table, system, setting=setting, steps=steps, metric=metric) is None


# ----------------------------------------------------------------------------------------------
# Comparability: decided by the protocol alone

FULL = {
    "precision": "float32",
    "dataset_images": 30_000,
    "transform": {"image_size": 128, "crop": "center"},
    "split": "all",
    "inversion_steps": 100,
    "decoding_steps": 100,
    "solver": "ddim",
}
ROW = {"dataset": "celeba-hq", "split": "all", "n": 30_000}
SAMPLED = {
    "precision": "float32",
    "decoding_steps": 100,
    "latent_steps": 100,
    "solver": "ddim",
    "reference_n": 50_000,
}
FFHQ = SAMPLED | {"dataset_images": 70_000, "transform": {"image_size": 128, "crop": "none"}}
CELEBA = SAMPLED | {"dataset_images": 202_599, "transform": {"image_size": 64, "crop": "d2c"}}
FEWSHOT = CELEBA | {
    "reference": "all images of the class",
    "reference_n": 202_599,
    "acceptance": RULES["probability"].description,
    "k": 50,
}
TABLE4 = {"table": "table4_unconditional_fid", "setting": "", "metric": "fid", "n": 50_000}
TABLE3 = {"table": "table3_fewshot_fid", "setting": "binary/Male", "metric": "fid", "n": 5_000}


@pytest.mark.parametrize(
    ("row", "protocol", "published"),
    [
        (ROW, FULL, 0.991),
        (ROW | {"metric": "lpips"}, FULL | {"perceptual_sha256": "the published one"}, 0.011),
        (ROW | {"metric": "mse", "setting": "x_T random"}, FULL | {"inversion_steps": None}, 0.007),
        (TABLE4 | {"dataset": "ffhq"}, FFHQ, 10.59),
        (TABLE4 | {"dataset": "celeba"}, CELEBA, 5.30),
        (TABLE4 | {"dataset": "ffhq", "system": "DiffAE + autoencoding"}, FFHQ, 4.56),
        (TABLE3 | {"dataset": "celeba"}, FEWSHOT, 11.52),
        (
            TABLE3
            | {"dataset": "celeba", "system": "naive (all images)", "steps": None, "n": 202_599},
            {"precision": "float32"} | {k: CELEBA[k] for k in ("dataset_images", "transform")},
            23.83,
        ),
    ],
)
def test_the_papers_protocol_compares(row, protocol, published):
    found = attach(record(**row), protocol)
    assert (found.published, found.not_comparable) == (published, "")


@pytest.mark.parametrize(
    ("row", "protocol", "reason"),
    [
        (ROW | {"n": 16}, FULL, "n 16, published with 30,000"),
        (ROW, FULL | {"split": "test"}, "split test, published with all"),
        (ROW | {"steps": 20}, FULL | {"decoding_steps": 20}, "published at T = 100"),
        (ROW, FULL | {"inversion_steps": 250}, "inversion steps 250, published at T = 100"),
        (ROW, FULL | {"solver": "fast"}, "solver fast, published with ddim"),
        (ROW, FULL | {"precision": "bfloat16"}, "precision bfloat16, not float32"),
        (TABLE4 | {"dataset": "ffhq", "n": 5_000}, FFHQ, "n 5,000, published with 50,000"),
        (TABLE4 | {"dataset": "ffhq"}, FFHQ | {"reference_n": 10_000}, "reference n 10,000"),
        (TABLE4 | {"dataset": "ffhq"}, FFHQ | {"latent_steps": 20}, "latent steps 20, published"),
        (ROW, {k: FULL[k] for k in FULL if k != "precision"}, "precision not recorded, not float"),
        (
            TABLE4 | {"dataset": "ffhq", "system": "DiffAE + autoencoding", "n": 14_000},
            FFHQ,
            "n 14,000, published with 50,000",
        ),
        (TABLE3 | {"dataset": "celeba", "n": 12}, FEWSHOT, "n 12, published with 5,000"),
        (
            TABLE3 | {"dataset": "celeba"},
            FEWSHOT | {"acceptance": RULES["threshold"].description},
            "acceptance p > 0.5",
        ),
        (TABLE3 | {"dataset": "celeba"}, FEWSHOT | {"k": 10}, "k 10, published with 50"),
    ],
)
def test_each_field_that_differs_is_a_reason_of_its_own(row, protocol, reason):
    found = attach(record(**row), protocol)
    assert found.published is not None
    assert reason in found.not_comparable and ";" not in found.not_comparable


@pytest.mark.parametrize(
    ("row", "protocol"),
    [
        (ROW | {"dataset": "portraits"}, FULL),
        (ROW, FULL | {"dataset_images": 60}),  # a part of the images, under the right name
        (ROW, FULL | {"transform": {"image_size": 64, "crop": "center"}}),
        (ROW | {"metric": "lpips"}, FULL | {"perceptual_weights": "not the published file"}),
        (ROW | {"metric": "pd_effnet"}, FULL),
        (ROW, {}),
        (TABLE4 | {"dataset": "ffhq"}, FFHQ | {"feature_weights": "own"}),
        (
            TABLE4 | {"dataset": "celeba"},
            CELEBA | {"transform": {"image_size": 64, "crop": "center"}},
        ),
        (TABLE4 | {"dataset": "portraits"}, FFHQ),
    ],
)
def test_by_another_network_or_on_other_data_there_is_no_published_number(row, protocol):
    assert attach(record(**row), protocol) == record(**row)


@pytest.mark.parametrize("setting", ["mean", "prevalence-weighted mean"])
@pytest.mark.parametrize("probe", [ADAM, "joint L-BFGS, C of 4 values by validation"])
def test_section_5_3_is_never_comparable_for_nobody_knows_its_split_and_mean(setting, probe):
    row = record(table="section5.3_probe", setting=setting, metric="auroc", dataset="celeba-hq")
    found = attach(row, FULL | {"probe": probe})
    assert (found.published, found.metric) == (0.925, "auroc")
    assert "neither how its images were split nor how it averaged" in found.not_comparable
    assert ("probe joint L-BFGS" in found.not_comparable) == (probe != ADAM)


# ----------------------------------------------------------------------------------------------
# As a run records it


@pytest.mark.parametrize(
    ("images", "n", "plain"), [(30_000, 30_000, True), (30_000, 32, False), (60, 30_000, False)]
)
def test_a_run_compares_by_what_it_measured_whatever_its_profile(images, n, plain):
    fields = {k: FULL[k] for k in ("split", "inversion_steps", "decoding_steps", "solver")}
    context = lone_context(images)
    context.benchmark = "reconstruction"
    place = {"split": "all", "setting": "x_T inverted", "steps": 100, "fields": fields}
    row = recorded(context, "ssim", Estimate(0.98, n=n), **place)
    assert row.published == (0.991 if images == 30_000 else None)
    assert (row.published is not None and not row.not_comparable) == plain


PUBLISHED = number(
    TABLE1, "lpips", 0.25, published=0.5, published_metric="lpips", published_source="Table 1"
)


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, True),
        ({"not_comparable": "n 16, published with 30,000; second-hand"}, True),
        ({"published": None}, False),
        # another network
        ({"metric": "pd_effnet"}, False),
        ({"not_comparable": "trunk vgg16, published with alexnet"}, False),
        ({"metric": "lpips_vgg", "not_comparable": "batch 1, published with 32"}, True),
        ({"metric": "lpips_vgg", "not_comparable": "second-hand; protocol unknown"}, False),
        ({"not_comparable": "protocol unknown"}, True),
        # other data
        (
            {"not_comparable": "n 8, published with 9; set kodak, published with COCO 2017 val"},
            False,
        ),
        ({"not_comparable": "set not stated"}, False),
        ({"dataset": "celeba", "measured_by": {"dataset_images": 64}}, False),
        ({"dataset": "celeba", "measured_by": {"dataset_images": 202_599}}, True),
    ],
)
def test_a_published_value_stands_beside_its_own_network_and_data(changes, shown):
    assert stands_beside(replace(PUBLISHED, **changes)) == shown


def test_other_published_values_are_shown_on_request(tmp_path):
    """In every format; records.csv keeps all."""
    stand_in = replace(PUBLISHED, metric="pd_effnet", published=0.75)
    run = write_run(tmp_path / "run", [PUBLISHED, stand_in])
    for flag, shown in (([], [True, False]), (["--published"], [True, True])):
        out = tmp_path / f"out{len(flag)}"
        main([str(run), *flag, "--out", str(out)])
        for name in (f"tables/{TABLE1}.md", f"latex/{TABLE1}.tex", "report.html"):
            text = (out / name).read_text()
            assert ["0.500" in text, "0.750" in text] == shown, name
    alone = write_run(tmp_path / "alone", [stand_in])
    for published in (False, True):  # the overview has a column of them where there is one
        (panel,) = read([alone], published).tables[0].panels
        assert ("published" in panel.headers) == published


def test_the_benchmarks_say_what_the_papers_protocol_asks_for():
    """A name that no benchmark writes would make every number incomparable, for ever."""
    source = "".join(path.read_text() for path in Path(benchmarks.__file__).parent.rglob("*.py"))
    asked = {name for theirs in PROTOCOLS.values() for name in theirs.fields} - {"n"}
    for name in asked | {"dataset_images", "transform"} | set(STEPS):
        assert re.search(rf"\b{name}=|\"{name}\":", source), name
    assert PROTOCOLS["section5.3_probe", ""].fields["probe"] == ADAM
