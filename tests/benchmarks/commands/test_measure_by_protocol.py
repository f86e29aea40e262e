"""`benchmarks.measure --protocol` and `--explain`, and images in npz files."""

import csv
import shutil
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from data import originals_and_made, write_pair
from light_networks import lighten, write_light_weights
from PIL import Image
from torchmetrics.functional.image import structural_similarity_index_measure

from benchmarks.measure import main
from benchmarks.measuring.images import images_of
from benchmarks.measuring.request import Request
from benchmarks.metrics.protocols.schema import FOLDER, named, names
from benchmarks.weights import KNOWN
from diffae.system.errors import UserError

KINDS = ("originals", "made")
pytestmark = pytest.mark.usefixtures("no_effnet")


@pytest.fixture(scope="module")
def arrays():
    return originals_and_made()


@pytest.fixture(scope="module")
def pair(arrays, tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("pair"), arrays)


@pytest.fixture(scope="module")
def archives(arrays, tmp_path_factory):
    """The same as two npz files, as ADM keeps images; one is compressed."""
    root = tmp_path_factory.mktemp("archives")
    np.savez(root / "originals.npz", arrays[0])
    np.savez_compressed(root / "made.npz", arrays[1])
    return root / "originals.npz", root / "made.npz"


@pytest.fixture
def values(capsys):
    def measure(*arguments) -> dict[str, float]:
        main([str(argument) for argument in arguments])
        lines = (line.split() for line in capsys.readouterr().out.splitlines())
        return {words[0]: float(words[1]) for words in lines if len(words) == 2}

    return measure


def test_plain_is_what_is_measured_without_a_protocol(pair, values):
    plain = values("psnr,ssim", *pair)
    assert values("psnr,ssim", *pair, "--protocol", "plain") == pytest.approx(plain, rel=1e-6)


def test_several_protocols_are_measured_one_after_the_other(pair, capsys):
    """As `run` takes them; what one of them does not define hides no other."""

    def lines(metrics, protocols):
        main([metrics, *map(str, pair), "--protocol", protocols])
        return capsys.readouterr().out.splitlines()

    both = [lines(name, one) for name in ("psnr", "ssim") for one in ("plain", "llamagen")]
    assert lines("psnr,ssim", "plain, llamagen") == [*chain(*both)]
    with pytest.raises(UserError, match="psnr: the protocol adm has none"):
        lines("psnr", "adm,llamagen")
    assert capsys.readouterr().out.splitlines()[-1] == both[1][-1]


BY_BATCH = [name for name in names() if (of := named(name).ssim) and of.range == "of the batch"]


def test_pairs_of_one_grey_level_have_no_ssim_by_their_own_range_and_say_why(
    arrays, tmp_path, capsys
):
    """The codes print rounding noise over rounding noise: 0, 0.4, 1, nan or -inf."""
    files = []
    for kind, images, levels in zip(KINDS, arrays, ([0, 90, 0, 77], [2, 93, 255, 77]), strict=True):
        flat = [np.full((48, 48, 3), level, np.uint8) for level in levels]
        np.savez(tmp_path / f"{kind}.npz", np.stack([*images[:3], *flat]))
        files.append(str(tmp_path / f"{kind}.npz"))
    for name in BY_BATCH:
        with pytest.raises(UserError, match="^ssim: 4 of 7 pairs are of a single grey level each"):
            main(["psnr,ssim", *files, "--protocol", name])
        assert capsys.readouterr().out.splitlines()[-1].startswith("psnr ")
    main(["--explain", *files])
    said = capsys.readouterr().out
    assert f"{', '.join(BY_BATCH)}: 4 of 7 pairs are of a single grey level each" in said
    assert "nan" not in said.partition("SSIM")[2].replace("noise or nan", "")


def test_a_pair_with_one_flat_image_has_the_range_of_the_other(arrays, tmp_path, values):
    flat = np.full_like(arrays[0][:1], 128)
    np.savez(tmp_path / "flat.npz", flat)
    np.savez(tmp_path / "other.npz", arrays[0][:1])
    found = values(
        "ssim", tmp_path / "flat.npz", tmp_path / "other.npz", "--protocol", "torchmetrics-1.8"
    )
    a, b = (torch.from_numpy(x[:1]).movedim(-1, 1).double() / 255 for x in (flat, arrays[0]))
    expected = float(structural_similarity_index_measure(b, a))
    assert found["ssim"] == pytest.approx(expected, rel=1e-6)


def test_pairs_of_npz_files_are_their_images_in_order(pair, archives, values):
    of_folders = values("ssim,psnr", *pair)
    assert values("ssim,psnr", *archives) == of_folders
    by = ("--protocol", "llamagen")
    assert values("ssim", *archives, *by) == values("ssim", *pair, *by)


def test_sets_of_npz_files_are_their_images(pair, archives, values):
    expected = values("fd_effnet,kd_effnet", *pair)
    assert values("fd_effnet,kd_effnet", archives[0], pair[1]) == pytest.approx(expected, rel=1e-9)


def test_of_a_file_with_images_and_statistics_the_statistics_are_taken(
    pair, arrays, archives, values, tmp_path, capsys
):
    """As ADM's evaluator does; a kernel distance, which needs images, is of the images, and changes nothing."""
    main(["fd_effnet", str(pair[1]), "--save", str(tmp_path / "other.npz")])
    with np.load(tmp_path / "other.npz") as other, np.load(archives[0]) as images:
        np.savez(tmp_path / "both.npz", arr_0=images["arr_0"], mu=other["mu"], sigma=other["sigma"])
    both = tmp_path / "both.npz"
    alone = values("fd_effnet", both, pair[1])["fd_effnet"]
    assert alone == pytest.approx(0, abs=1e-2)
    of_images = values("kd_effnet", *pair)["kd_effnet"]
    assert values("kd_effnet", both, pair[1])["kd_effnet"] == pytest.approx(of_images, rel=1e-9)
    main(["kd_effnet,fd_effnet", str(both), str(pair[1])])
    lines = capsys.readouterr().out.splitlines()
    counts = [line for line in lines if line.startswith("images: ")]
    assert counts[0].startswith("images: 9 images and 9 images, standard error")
    assert counts[1] == "images: an unknown number of images and 9 images"
    found = dict(line.split() for line in lines if len(line.split()) == 2)
    assert float(found["kd_effnet"]) == pytest.approx(of_images, rel=1e-9)
    assert float(found["fd_effnet"]) == pytest.approx(alone, abs=1e-6)
    np.savez(both, arr_0=arrays[0], mu=np.zeros(7), sigma=np.eye(7))
    with pytest.raises(UserError, match=r"^fd_effnet: .*both\.npz: statistics of 7 features"):
        main(["kd_effnet,fd_effnet", str(both), str(pair[1])])
    assert capsys.readouterr().out.splitlines()[-1].startswith("kd_effnet ")


def test_faults_of_npz_files_are_named(pair, archives, arrays, tmp_path):
    def refused(words, *arguments):
        with pytest.raises(UserError, match=words):
            main([str(argument) for argument in arguments])

    def saved(name, array):
        np.savez(tmp_path / name, array)
        return tmp_path / name

    refused("an npz file has no names", "mse", archives[0], pair[1])
    few = saved("few.npz", arrays[0][:4])
    refused(r"few\.npz: 4 images, .*originals\.npz has 9", "mse", archives[0], few)
    floats = saved("floats.npz", arrays[0] / 255)
    refused(r"floats\.npz: arr_0 is float64 .*, not images", "mse", floats, archives[1])
    small = saved("small.npz", arrays[0][:, :32])
    refused(r"small\.npz: its images: differs in size from", "mse", archives[0], small)
    cut = tmp_path / "cut.npz"
    cut.write_bytes(archives[0].read_bytes()[:-2000])
    refused("cut.npz", "fd_effnet", cut, pair[1])
    broken = bytearray(archives[0].read_bytes())
    broken[len(broken) // 2] ^= 255
    (tmp_path / "broken.npz").write_bytes(broken)
    refused(r"broken\.npz: image .* cannot be read", "mse", archives[0], tmp_path / "broken.npz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mse", "--protocol", "llamagen"], "mse: no protocol defines it"),
        (["lpips", "--protocol", "llamagen"], "lpips: the protocol llamagen has none"),
        (["psnr", "--protocol", "lamagen"], "no protocol 'lamagen'; did you mean llamagen?"),
        (["fid", "--protocol", "plain", "--save", "s.npz"], "--protocol: not with --save"),
        (["psnr", "--out", "d"], "--out: for --explain only"),
    ],
)
def test_bad_arguments(pair, arguments, words):
    with pytest.raises(UserError) as refused:
        main([arguments[0], *map(str, pair), *arguments[1:]])
    assert words in str(refused.value)


def test_a_limit_measures_a_random_sample_and_says_so(
    pair, archives, arrays, values, capsys, tmp_path
):
    """The same pairs whatever holds them; the pairs' errors are all unlike."""
    squares = np.square(np.subtract(*(x / 255 for x in arrays))).mean((1, 2, 3))
    found = values("mse", *pair, "--limit", "4")["mse"]
    of = [
        places
        for places in combinations(range(9), 4)
        if abs(squares[[*places]].mean() - found) < 1e-8
    ]
    assert len(of) == 1 and of[0] != (0, 1, 2, 3)
    assert values("mse", *archives, "--limit", "4")["mse"] == found
    for limit in (9, 100):
        main(["mse", *map(str, pair), "--limit", str(limit)])
        told, said = capsys.readouterr()
        assert float(told.split()[-1]) == values("mse", *pair)["mse"]
        assert f"at most {limit} pairs, drawn at random" in told and "random" not in said
    main(["psnr", *map(str, pair), "--limit", "4", "--protocol", "plain"])
    by_protocol, said = capsys.readouterr()
    assert f"{pair[1]}: a random sample of 4 of 9 pairs (--limit)" in said
    assert {"at most 4 pairs", "pairs: 4"} <= {x.split(",")[0] for x in by_protocol.splitlines()}
    assert float(by_protocol.split()[-1]) == pytest.approx(
        -10 * np.log10(squares[[*of[0]]]).mean(), abs=1e-4
    )
    main(["--explain", *map(str, pair), "--limit", "4", "--weights-dir", str(pair[0])])
    assert capsys.readouterr().out.startswith("at most 4 pairs, drawn at random\n")
    alone = write_pair(tmp_path, [images[[*of[0]]] for images in arrays])
    expected = values("fd_effnet,kd_effnet", *alone)
    for sets in (pair, archives):
        assert values("fd_effnet,kd_effnet", *sets, "--limit", "4") == expected
    saved = tmp_path / "statistics.npz"
    main(["fd_effnet", str(pair[0]), "--save", str(saved)])
    with pytest.raises(UserError, match=r"--limit: .*statistics.npz has statistics of all images"):
        main(["fd_effnet", str(saved), str(pair[1]), "--limit", "4"])


def test_images_are_in_order_though_threads_read_them(pair, arrays, monkeypatch):
    monkeypatch.setattr("benchmarks.measuring.images.AHEAD", 2)
    count, images = images_of(Path(pair[0]), Request(*pair))
    assert count == 9
    assert np.array_equal(torch.stack([*images]).permute(0, 2, 3, 1), arrays[0])


def test_images_of_unlike_size_are_refused(pair, tmp_path):
    for kind, folder in zip(KINDS, pair, strict=True):
        shutil.copytree(folder, tmp_path / kind)
        Image.new("RGB", (32, 40)).save(tmp_path / kind / "last.png")
    words = "originals: images of 48 x 48 and 32 x 40: protocols are of images of one size"
    for arguments in (["psnr", "--protocol", "plain"], ["--explain"]):
        with pytest.raises(UserError, match=words):
            main([*arguments, *(str(tmp_path / kind) for kind in KINDS)])


@pytest.fixture(scope="module")
def explained(pair, tmp_path_factory):
    """The rows of protocols.csv, by metric and protocol; and the folder."""
    out = tmp_path_factory.mktemp("explained") / "out"
    main(["--explain", *map(str, pair), "--out", str(out), "--weights-dir", str(out.parent)])
    with open(out / "protocols.csv", encoding="utf-8", newline="") as file:
        rows = {(row["metric"], row["protocol"]): row for row in csv.DictReader(file)}
    return rows, out


def test_an_explanation_has_the_number_of_each_protocol(explained, pair, values):
    rows, _ = explained
    for protocol in ("llamagen", "maskbit", "torchmetrics-1.8", "seed-voken"):
        found = values("psnr,ssim", *pair, "--protocol", protocol)
        for metric, value in found.items():
            assert float(rows[metric, protocol]["value"]) == pytest.approx(value, abs=5e-3)


def test_the_causes_are_the_ingredients_and_sum_to_the_difference(explained):
    rows, _ = explained
    row = rows["ssim", "llamagen"]
    causes = dict(part.rsplit(": ", 1) for part in row["causes"].split("; "))
    assert next(iter(causes)) == "range 2 instead of range 1"
    assert "a 7 x 7 uniform window instead of an 11 x 11 Gaussian window" in causes
    sizes = [abs(float(part)) for part in causes.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(map(float, causes.values())) == pytest.approx(float(row["difference"]), abs=3e-4)
    plain = float(rows["ssim", "plain"]["value"])
    assert float(row["value"]) - plain == pytest.approx(float(row["difference"]), abs=1e-9)


def test_a_protocol_of_ones_own_is_explained_too(pair, tmp_path, capsys):
    shutil.copy(FOLDER / "plain.toml", tmp_path / "mine.toml")
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    text = text.replace('error = ["of pixels in [0, 1]"', 'error = ["halved"')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    folders = [*map(str, pair), "--weights-dir", str(tmp_path)]
    main(["--explain", *folders, "--protocol", str(tmp_path / "mine.toml")])
    told = capsys.readouterr().out
    assert "halved errors instead of errors of pixels in [0, 1]" in told and "+6.02" in told


# ----------------------------------------------------------------------------------------------
# Equal images, small images, and many


@pytest.fixture
def trunks(tmp_path, monkeypatch):
    """The weights of LPIPS's trunks, of few layers, without Inception's."""
    lighten(monkeypatch)
    folder = write_light_weights(tmp_path / "trunks")
    (folder / KNOWN["inception"].files[-1].filename).unlink()
    return ["--weights-dir", str(folder), "--allow-unknown-weights"]


def test_the_statistics_of_a_reference_are_taken_by_a_protocol_though_it_has_as_many_images(
    archives, arrays, tmp_path, monkeypatch, values
):
    """ADM's reference of 10,000 images beside as many samples; its images are no originals."""
    lighten(monkeypatch)
    weights = ["--weights-dir", write_light_weights(tmp_path / "w"), "--allow-unknown-weights"]
    reference = tmp_path / "reference.npz"
    np.savez(reference, arr_0=arrays[0], mu=np.full(2048, 1e4), sigma=np.eye(2048))
    found = values("fid", reference, archives[1], "--protocol", "adm", *weights)
    assert found["fid"] == pytest.approx(2048e8, rel=1e-2)


def test_what_is_too_small_is_a_reason_of_its_row(arrays, trunks, tmp_path, capsys):
    """At 10 px no LPIPS and not every window fits; at 20 px AlexNet does not."""
    for size in (10, 20):
        root = tmp_path / str(size)
        folders = write_pair(root, [x[:3, :size, :size] for x in arrays])
        main(["--explain", *folders, *trunks, "--out", str(root / "out")])
        with open(root / "out" / "protocols.csv", encoding="utf-8", newline="") as file:
            rows = {(row["metric"], row["protocol"]): row for row in csv.DictReader(file)}
        why = {key: row["not_computed"] for key, row in rows.items() if key[0] != "rfid"}
        small = f"images of {size} x {size} px: "
        assert why["lpips", "plain"] == f"{small}lpips 0.1 (alexnet) needs 31 px or more"
        assert bool(why["lpips", "vtp"]) == bool(why["ssim", "eq-vae"]) == (size == 10)
        assert not any(w for (metric, name), w in why.items() if metric == "psnr")
        assert not why["ssim", "plain"] and not why["ssim", "llamagen"]
    capsys.readouterr()
    folders = [str(tmp_path / "20" / kind) for kind in KINDS]
    with pytest.raises(UserError, match=r"^lpips: images of 20 x 20 px: lpips 0\.1 \(alexnet\)"):
        main(["lpips,mse,ssim_valid,lpips_vgg", *folders, *trunks])
    values = [line.split()[0] for line in capsys.readouterr().out.splitlines() if ":" not in line]
    assert values == ["mse", "ssim_valid", "lpips_vgg"]
