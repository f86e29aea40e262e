import pytest

from reports.published import attach, lookup
from reports.records import Record


def record(**changes):
    base = {
        "benchmark": "reconstruction",
        "table": "table1_reconstruction",
        "system": "DiffAE",
        "dataset": "FFHQ -> CelebA-HQ 30k @128",
        "split": "test",
        "setting": "x_T inverted",
        "steps": 100,
        "metric": "ssim",
        "value": 0.98,
    }
    return Record(**(base | changes))


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
        ("table3_fewshot_fid", "naive", "pu/Non-Blond", None, "fid", 0.96),
        ("appendix_f_smoothness", "DiffAE", "", 100, "ppl", 613.73),
        ("appendix_g_identity", "DiffAE", "Wavy_Hair +0.3", 100, "arcface", 0.9821),
        ("appendix_g_identity", "StyleGAN2 (W)", "Male -0.3", 100, "id_portraits", 0.4174),
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
        ("portraits 32", 5.30, "CelebA 64"),
    ],
)
def test_table_4_goes_by_data_set(dataset, fid, theirs):
    found = lookup(
        "table4_unconditional_fid", "DiffAE", dataset=dataset, setting="", steps=100, metric="fid"
    )
    assert (found.value, found.dataset) == (fid, theirs)
    assert found.source == "Preechakul et al. 2022, Table 4"


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


def test_spread_over_seeds_is_kept():
    found = lookup("table3_fewshot_fid", "DiffAE", setting="binary/Blond", steps=100, metric="fid")
    assert (found.value, found.std) == (16.10, 2.00)


def test_secondhand_values_say_so_and_are_never_comparable():
    ours = record(table="appendix_f_smoothness", setting="", metric="ppl", value=600.0)
    attached = attach(ours, comparable_reason="")
    assert attached.published == 613.73
    assert "second-hand summary of the appendix, unverified" in attached.published_source
    assert "not known at first hand" in attached.not_comparable


def test_attach_keeps_the_number_and_names_the_source():
    attached = attach(record(), comparable_reason="")
    assert attached.value == 0.98
    assert (attached.published, attached.published_metric) == (0.991, "ssim")
    assert attached.published_source == "Preechakul et al. 2022, Table 1"
    assert attached.not_comparable == ""


def test_attach_leaves_alone_what_the_paper_lacks():
    ours = record(metric="psnr")
    assert attach(ours, comparable_reason="another data set") == ours


@pytest.mark.parametrize(
    ("table", "metric", "setting", "theirs"),
    [
        ("table1_reconstruction", "pd_effnet", "x_T inverted", "lpips"),
        ("table4_unconditional_fid", "fd_effnet", "", "fid"),
        ("appendix_g_identity", "id_portraits", "Male +0.3", "arcface"),
    ],
)
def test_another_feature_network_is_never_comparable(table, metric, setting, theirs):
    ours = record(table=table, metric=metric, setting=setting, dataset="FFHQ 128")
    attached = attach(ours, comparable_reason="")
    assert attached.published_metric == theirs
    assert "another feature network" in attached.not_comparable
    twice = attach(ours, comparable_reason="another feature network").not_comparable
    assert twice.count("another feature network") == 1


def test_reasons_that_the_names_show_are_added():
    short = attach(record(steps=20), comparable_reason="another crop")
    assert short.not_comparable == "another crop; published at T = 100"
    elsewhere = record(
        table="table4_unconditional_fid", metric="fid", setting="", dataset="portraits 32"
    )
    assert attach(elsewhere, comparable_reason="").not_comparable == "published on CelebA 64"
