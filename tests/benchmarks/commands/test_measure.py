"""`benchmarks.measure`: statistics, the description in its output, and refused input.

That its metrics equal reference programs is tested in test_equal_references.py.
"""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from colours import no_effnet
from PIL import Image
from piq import multi_scale_ssim
from refusal import refusal
from sklearn.metrics.pairwise import polynomial_kernel

from benchmarks import weights
from benchmarks.measure import main
from benchmarks.measuring import images, sets
from benchmarks.measuring.images import read
from benchmarks.measuring.request import Request, answer_of
from benchmarks.metrics.networks.chosen import EFFNET, FEATURES
from benchmarks.metrics.sets import kernel
from benchmarks.metrics.sets.frechet import read_statistics
from benchmarks.metrics.sets.groups import groups_of
from benchmarks.metrics.sets.jackknife import Side, blocks_of
from benchmarks.metrics.sets.manifold import OVERLAPS, overlaps
from diffae.system.errors import UserError


@pytest.fixture
def mean_colours():
    """Features of three numbers under the name of EfficientNet-lite0's, whose covariances take seconds."""
    with no_effnet():
        yield


def test_fid_of_statistics_is_fid_of_their_images(measure, folders, tmp_path, mean_colours):
    a, b = folders
    main_value = measure("fd_effnet", a, b)
    assert main_value > 0
    statistics = tmp_path / "a.npz"
    main(["fd_effnet", str(a), "--save", str(statistics)])
    assert read_statistics(statistics).n == 12
    assert measure("fd_effnet", statistics, b) == pytest.approx(main_value, rel=1e-6)
    assert measure("fd_effnet", b, statistics) == pytest.approx(main_value, rel=1e-6)


def test_statistics_are_those_of_all_images_however_many_are_summed_at_once(
    folders, tmp_path, monkeypatch, mean_colours
):
    """12 images summed 5, 5 and 2 at a time, as a folder of thousands is by 1,024."""
    main(["fd_effnet", str(folders[0]), "--save", str(tmp_path / "at-once.npz")])
    monkeypatch.setattr("benchmarks.measuring.sets.MOMENTS_CHUNK", 5)
    apart = tmp_path / "apart.npz"
    main(["fd_effnet", str(folders[0]), "--save", str(apart), "--batch-size", "5"])
    with np.load(tmp_path / "at-once.npz") as expected, np.load(apart) as found:
        assert found["n"] == 12
        np.testing.assert_allclose(found["mu"], expected["mu"], atol=1e-5)
        np.testing.assert_allclose(found["sigma"], expected["sigma"], atol=1e-5)


@pytest.fixture
def features(folders):
    """EfficientNet-lite0's of both folders [12, 1280]."""
    network = FEATURES[EFFNET](weights.load_path(EFFNET, None, False), torch.device("cpu"))
    images = (torch.from_numpy(255 * pixels(f)).round().byte() for f in folders)
    return [network(batch.permute(0, 3, 1, 2)).double().numpy() for batch in images]


def test_the_kernel_distance_and_its_error(folders, features, capsys):
    main(["kd_effnet", *map(str, folders)])
    told, value = capsys.readouterr().out.splitlines()[-2:]
    a, b = features
    within = [polynomial_kernel(x)[~np.eye(12, dtype=bool)].mean() for x in (a, b)]
    expected = sum(within) - 2 * polynomial_kernel(a, b).mean()
    assert float(value.removeprefix("kd_effnet ")) == pytest.approx(expected, rel=1e-4)
    error = kernel.between(*(Side.of(x, blocks_of(12)) for x in (a, b))).whole().stderr
    assert told.startswith("images: 12 images and 12 images, standard error ")
    assert float(told.split()[-1]) == pytest.approx(error, rel=0.01)


def test_a_kernel_distance_over_subsets(folders, features, tmp_path, capsys):
    """A is torch-fidelity's input 1."""
    shutil.copytree(folders[1], tmp_path / "b")
    (tmp_path / "b" / "000.png").unlink()
    main(["kd_effnet", str(folders[0]), str(tmp_path / "b"), "--subsets", "20x5"])
    told, value = capsys.readouterr().out.splitlines()[-2:]
    distances = kernel.subset_distances(features[0], features[1][1:], 20, 5)
    assert float(value.removeprefix("kd_effnet ")) == pytest.approx(distances.mean(), rel=1e-4)
    start = "images: 12 images and 11 images, 20 subsets of 5, standard deviation over them "
    assert float(told.removeprefix(start)) == pytest.approx(distances.std(), rel=0.01)


def test_distances_of_reconstructions(folders, features, tmp_path, capsys):
    """Files of one name are a pair, also where the folders have them in another order. The distance
    of two sets is lower by 2 / n times what an image shares with its own reconstruction alone.
    """
    a, b = (shutil.copytree(folder, tmp_path / folder.name) for folder in folders)
    for folder, suffix in ((a, "png"), (b, "bmp")):  # x.c.png is before x.png, x.c.bmp after x.bmp
        for name, other in (("000", "x"), ("001", "x.c")):
            with Image.open(folder / f"{name}.png") as image:
                image.save(folder / f"{other}.{suffix}")
            (folder / f"{name}.png").unlink()
    main(["kd_effnet,fd_effnet,rkd_effnet,rfd_effnet", str(a), str(b)])
    lines = capsys.readouterr().out.splitlines()
    values = {line.split()[0]: float(line.split()[1]) for line in lines if len(line.split()) == 2}
    x, y = features
    others, across = ~np.eye(12, dtype=bool), polynomial_kernel(x, y)
    within = polynomial_kernel(x) + polynomial_kernel(y)
    expected = within[others].mean() - 2 * across[others].mean()
    assert values["rkd_effnet"] == pytest.approx(expected, rel=1e-4)
    shared = np.diag(across).mean() - across[others].mean()
    assert values["kd_effnet"] == pytest.approx(expected - 2 / 12 * shared, rel=1e-4)
    assert values["rfd_effnet"] == pytest.approx(values["fd_effnet"], rel=1e-4)
    notes = [line for line in lines if line.startswith("A and B have files of the same names: ")]
    assert [line.split()[9] for line in notes] == ["rkd_effnet", "rfd_effnet"]
    (b / "002.png").rename(b / "other.png")
    with pytest.raises(UserError, match=r"rkd_effnet: .* no image named 002"):
        main(["rkd_effnet,kd_effnet", str(a), str(b)])
    assert "the same names" not in (printed := capsys.readouterr().out)
    assert printed.splitlines()[-1].startswith("kd_effnet ")


def test_metrics_of_one_network_share_a_pass(measure, folders, monkeypatch, capsys):
    alone = [f"{name} {measure(name, *folders):.8g}" for name in ("fd_effnet", "kd_effnet")]
    seen = []
    monkeypatch.setattr(images, "read", lambda path, args: seen.append(path) or read(path, args))
    main(["kd_effnet,fd_effnet", *map(str, folders)])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in alone] == alone[::-1]
    assert len(seen) == len(set(seen)) == 24


def test_a_kernel_distance_needs_features(folders, tmp_path, capsys):
    main(["fd_effnet", str(folders[0]), "--save", str(tmp_path / "a.npz")])
    with pytest.raises(UserError, match=r"^kd_effnet: .*a\.npz: statistics hold no features"):
        main(["kd_effnet,fd_effnet", str(tmp_path / "a.npz"), str(folders[1])])
    assert capsys.readouterr().out.splitlines()[-1].startswith("fd_effnet ")


def test_how_two_sets_overlap(folders, features, capsys):
    """A is the reference; the convention is told, and an error where halves are large enough."""
    names = ["precision_effnet", "recall_effnet", "density_effnet", "coverage_effnet"]
    main([",".join(names), str(folders[1]), str(folders[0])])
    lines = capsys.readouterr().out.splitlines()
    sides = [Side.of(x.astype(np.float32), blocks_of(12)) for x in features]
    estimates = overlaps(*sides).whole()
    for i, name in enumerate(names):
        expected = estimates[name.removesuffix("_effnet")].value
        told, value = lines[3 * i + 1 : 3 * i + 3]
        assert float(value.removeprefix(f"{name} ")) == pytest.approx(expected, rel=1e-6)
        start = "images: 12 images and 12 images, "
        assert told.startswith(f"{start}k = 3 with <=" if i < 2 else f"{start}k = 5 with <")


def estimates_of(metrics, a, b):
    """What the command measures of features that are held."""
    (group,) = groups_of(metrics)
    request = Request(Path("a"), Path("b"), device="cpu")
    held = (sets.ImageSet(Path("images"), features) for features in (a, b))
    return sets.estimates_of(group, *held, request)


def test_the_error_of_how_two_sets_overlap():
    """That of balanced half-samples; none where every half has the same number."""
    a, b = np.random.default_rng(0).normal(size=(2, 60, 4)).astype(np.float32)
    b += 1  # so that some are inside and some are outside
    expected = overlaps(Side.of(b, blocks_of(60)), Side.of(a, blocks_of(60))).whole()
    apart = estimates_of(OVERLAPS, a, b + 1000)
    for name, estimate in estimates_of(OVERLAPS, a, b).items():
        assert estimate.stderr == pytest.approx(expected[name].stderr, rel=0.01)
        assert apart[name].value is not None and apart[name].error is None


def test_cmmd_and_its_error():
    """The weights of CLIP are too large for a test: of features in their place."""
    a, b = np.random.default_rng(0).normal(size=(2, 40, 8)).astype(np.float32)
    estimate = estimates_of(("cmmd",), a, b)["cmmd"]
    expected = kernel.cmmd(Side.of(b, blocks_of(40)), Side.of(a, blocks_of(40))).whole()
    assert estimate.value == pytest.approx(expected.value, rel=1e-9)
    of_both_sides = [np.linalg.norm(source.values) for source in expected.influences]
    error = np.hypot(*of_both_sides)
    assert answer_of("cmmd", estimate, [], ["80 images"]).lines == [
        f"80 images, standard error {error:.3g}",
        f"cmmd {estimate.value:.8g}",
    ]


def test_the_time_of_what_compares_all_pairs_is_told_before(folders, monkeypatch, capsys):
    """Once for metrics that share their distances, and never for what moments are enough for."""
    monkeypatch.setattr(sets, "MANY", 100)
    main(["kd_effnet,precision_effnet,recall_effnet,fd_effnet", *map(str, folders)])
    told = [line for line in capsys.readouterr().err.splitlines() if ": about " in line]
    assert [line.partition(": about ")[0] for line in told] == [
        "kd_effnet",
        "precision_effnet, recall_effnet",
    ]
    assert all("for 12 and 12 images, which grows with their product" in line for line in told)


def test_ms_ssim_refuses_small_images_and_the_others_are_printed(
    measure, folders, tmp_path, capsys
):
    with pytest.raises(UserError, match=r"^ms_ssim: MS-SSIM needs images of 161 px or more"):
        main(["ms_ssim,mse", *map(str, folders)])
    assert capsys.readouterr().out.splitlines()[-1].startswith("mse ")
    sides = np.random.default_rng(1).integers(0, 256, (2, 170, 180, 3)).astype(np.uint8)
    for folder, image in zip("ab", sides, strict=True):
        (tmp_path / folder).mkdir()
        Image.fromarray(image).save(tmp_path / folder / "one.png")
    a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].double() / 255 for x in sides)
    expected = float(multi_scale_ssim(a, b, data_range=1.0))
    assert measure("ms_ssim", tmp_path / "a", tmp_path / "b") == pytest.approx(expected, rel=1e-6)


def pixels(folder):
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())]) / 255


def test_mse_and_psnr_are_their_definitions(measure, folders):
    a, b = map(pixels, folders)
    errors = torch.from_numpy(a - b).square().flatten(1).mean(1)
    assert measure("mse", *folders) == pytest.approx(float(errors.mean()), rel=1e-5)
    expected = float((-10 * errors.log10()).mean())
    assert measure("psnr", *folders) == pytest.approx(expected, rel=1e-5)
    assert measure("mse", folders[0], folders[0]) == 0


# ----------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize("metric", ["fid", "lpips", "identity"])
def test_unknown_weights_need_a_flag(measure, folders, metric):
    with pytest.raises(UserError, match="--allow-unknown-weights"):
        measure(metric, *folders, allow=False)


@pytest.mark.parametrize("metric", ["fid", "lpips", "identity"])
def test_a_missing_weight_is_never_replaced(folders, tmp_path, monkeypatch, metric):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="are missing: run `python -m benchmarks.run weights "):
        main([metric, *map(str, folders)])


def test_of_several_metrics_each_that_can_be_had_is_printed(
    folders, tmp_path, monkeypatch, capsys, measure
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    expected = {name: measure(name, *folders) for name in ("fd_effnet", "ssim")}
    with pytest.raises(UserError, match=r"^fid: .* pt_inception.*; fd_effnet stands in for it$"):
        main(["fd_effnet,lpips,ssim,fid", *map(str, folders)])
    told = capsys.readouterr()
    values = [line.split() for line in told.out.splitlines() if ":" not in line]
    assert {name: float(value) for name, value in values} == expected
    assert [name for name, _ in values] == ["fd_effnet", "ssim"]  # as they were asked for
    (error,) = (line for line in told.err.splitlines() if line.startswith("error: "))
    assert error.startswith("error: lpips: the weights of alexnet are missing: ")
    assert error.endswith("; pd_effnet stands in for it")


def test_sets_need_no_pairs(folders, tmp_path, capsys, measure):
    for path in sorted(folders[0].iterdir())[:3]:
        shutil.copy(path, tmp_path)
    expected = measure("fd_effnet", tmp_path, folders[1])
    with pytest.raises(UserError, match=r"^ssim, mse: .*no image named"):
        main(["ssim,mse,fd_effnet", str(tmp_path), str(folders[1])])
    assert capsys.readouterr().out.splitlines()[-1] == f"fd_effnet {expected:.8g}"


def test_pairs_must_be_pairs(folders, tmp_path):
    a, b = folders
    (tmp_path / "c").mkdir()
    for path in list(b.iterdir())[1:]:
        (tmp_path / "c" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="c: no image named"):
        main(["ssim", str(a), str(tmp_path / "c")])
    missing = next(p for p in sorted(a.iterdir()) if not (tmp_path / "c" / p.name).exists())
    Image.new("RGB", (32, 64)).save(tmp_path / "c" / missing.name)
    with pytest.raises(UserError, match=r"differs in size from .* \(64 x 64 and 32 x 64\)"):
        main(["ssim", str(a), str(tmp_path / "c")])


def test_bad_input_is_one_line_and_exit_2(folders, tmp_path, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(folders[1].iterdir())[:2]:
        shutil.copy(path, few)
    for arguments, message in (
        (["ssin", *folders], "did you mean ssim"),
        (["ssim,msee", *folders], "unknown metric 'msee'; did you mean"),
        (["ssim,", *folders], "unknown metric ''"),
        (["ssim", folders[0]], "needs two folders"),
        (["ssim", folders[0], empty], "no images in this folder"),
        (["ssim", folders[0], tmp_path / "nowhere"], "no such folder"),
        (["ssim", *folders, "--save", tmp_path / "x.npz"], "--save: ssim has no statistics"),
        (
            ["recall_effnet", folders[0], few],
            "recall_effnet: recall with k = 3 needs at least 4 images in the samples, which has 2",
        ),
        (["kid", *folders, "--save", tmp_path / "x.npz"], "--save: kid has no statistics"),
        (["kd_effnet", *folders, "--subsets", "2x13"], "subsets of 13 cannot be drawn from"),
        (["mse", *folders, "--subsets", "2x3"], "--subsets: mse is no kernel distance"),
        (["kd_effnet,rkd_effnet", *folders, "--subsets", "2x3"], "not of rkd_effnet"),
        (["kd_effnet", *folders, "--subsets", "100"], "is not COUNTxSIZE"),
        (["kd_effnet", *folders, "--subsets", "100x1"], "must be at least 2"),
        (["kd_effnet", *folders, "--subsets", "99999999999x2"], "must be at most 10,000"),
    ):
        assert message in refusal(main, capsys, *arguments)


@pytest.fixture
def alarm():
    """What hangs is interrupted: opening a pipe that nobody writes to never ends."""

    def interrupt(*_):
        pytest.fail("it waits for a pipe")  # no Exception: nothing may take it for a damaged file

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_pipes_are_refused_and_never_opened(folders, tmp_path, alarm):
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(UserError, match="pipe.npz: a pipe, not a file"):
        main(["fd_effnet", str(tmp_path / "pipe.npz"), str(folders[0])])
    images = tmp_path / "images"
    shutil.copytree(folders[0], images)
    os.mkfifo(images / "pipe.png")
    for metric in ("mse", "fd_effnet"):
        with pytest.raises(UserError, match=r"pipe\.png: a pipe, not a file"):
            main([metric, str(images), str(images)])
    with pytest.raises(UserError, match=r"pipe\.png: no such folder"):
        main(["mse", str(images / "pipe.png"), str(folders[0])])


def test_files_that_are_left_out_are_counted(measure, folders, tmp_path, capsys):
    images = tmp_path / "images"
    shutil.copytree(folders[0], images)
    for name in ("a.tiff", "b.gif", "c.tif"):
        (images / name).write_bytes(b"whatever it holds")
    main(["mse", str(images), str(folders[0])])
    output = capsys.readouterr()
    assert output.out.endswith("mse 0\n")
    assert "left out: 3 other files: " in output.err
