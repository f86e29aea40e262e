"""What is computed once for many numbers: each number is that of a computation for it alone.

Protocols, the steps of an explanation, metrics of one command, settings of a benchmark, benchmarks
of a run and networks share images, codes, decodes, scores and features. Here each is measured among
others, in orders of several kinds, and alone. The images lose levels where they are rounded,
truncated, clamped or resized by another rule.
"""

import csv
import json
import tomllib
import warnings
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import lpips
import numpy as np
import pytest
import reference_metrics
import torch
from light_networks import Inception, lighten, write_light_weights
from metric_weights import write_onnx
from painted import Painted, Plain, Tokens, in_range, write_images
from PIL import Image
from registered import every_benchmark, several
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch_fidelity.interpolate_compat_tensorflow import (
    interpolate_bilinear_2d_like_tensorflow1x as of_tensorflow,
)

from benchmarks import evaluate, measure, plugin
from benchmarks.weights import KNOWN
from diffae.data import open_dataset
from diffae.networks.nn import without_weights
from reports.records.published import NAIVE, OF_CLASS, OF_N
from reports.records.record import Record

ROOT = files("benchmarks.protocols")
PROTOCOLS = {
    Path(file.name).stem: tomllib.loads(file.read_text(encoding="utf-8"))
    for file in ROOT.iterdir()
    if file.name.endswith(".toml")
}
SECTIONS = {"rfid": "fid", "psnr": "psnr", "ssim": "ssim", "lpips": "lpips"}  # file: command
OF_DATA = ("pixels.crop", "pixels.posterior", "rfid.reference")  # which images are measured
COUNT, HEIGHT, WIDTH, SIDE = 9, 33, 38, 32  # 9 images: no batch of 4 or 8 divides them
EXACT = 1e-12
# Those that a fast test measures alone: unlike in scaling, rounding, resizing, trunk, range and batch.
FEW_ALONE = ("vtp", "maskbit", "eq-vae-unpinned", "lightningdit")


# ----------------------------------------------------------------------------------------------
# Images and networks


def photographs(count: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 N x H x W x 3: slopes with a cast, of their own in each channel, and ends of the range."""
    draw = np.random.default_rng(seed)
    y, x = np.indices((height, width)) / max(height, width)
    found = []
    for _ in range(count):
        slope, level = draw.uniform(-120, 120, (2, 3)), draw.uniform(40, 215, 3)
        image = level + slope[0] * x[..., None] + slope[1] * y[..., None]
        image += 25 * np.sin(9 * x * draw.uniform(1, 3) + 5 * y)[..., None] * draw.uniform(-1, 1, 3)
        image[3:9, -8:-2], image[-7:-2, 1:8] = (255, 3, 0), (0, 255, 128)
        found.append(image + draw.normal(0, 4, image.shape))
    return np.stack(found).round().clip(0, 255).astype(np.uint8)


def rebuilt(images: torch.Tensor) -> torch.Tensor:
    """What a decoder makes of images in [-1, 1]: coarser, shifted by a cast, and beyond the range."""
    strength = images.mean((1, 2, 3), keepdim=True).abs() + 0.3
    coarse = (images * 6).round() / 6
    cast = torch.tensor([0.031, -0.017, 0.043])[:, None, None]
    return 1.06 * (images + strength * (coarse - images)) + cast


class Decoder(plugin.System):
    name = title = fingerprint = "decoder"
    capabilities = frozenset({"encode", "decode", "semantic"})
    image_size, latent_dim = SIDE, 3 * SIDE**2

    def encode_semantic(self, images):
        return images.flatten(1)

    def decode(self, code, steps=100):
        return self.cut(rebuilt(code.semantic.view(-1, 3, SIDE, SIDE)))


def saved(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    """Originals and reconstructions as two folders."""
    root, images = tmp_path_factory.mktemp("pair"), photographs(COUNT, HEIGHT, WIDTH)
    made = rebuilt(in_range(images)).add(1).mul(127.5).clamp(0, 255).round().byte()
    return saved(root / "a", images), saved(root / "b", made.permute(0, 2, 3, 1).numpy())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Square images, of which every one is measured: the test split of 30 has 9."""
    folder = saved(tmp_path_factory.mktemp("data") / "square", photographs(30, SIDE, SIDE, 1))
    return open_dataset(folder, SIDE)


FEW_FAST, ALL = "few", "all"  # protocols and metrics that are measured alone


@pytest.fixture(scope="module", params=[FEW_FAST, pytest.param(ALL, marks=pytest.mark.slow)])
def networks(request, tmp_path_factory) -> Iterator[Path]:
    """The folder of random weights of Inception and of both trunks, with few layers: the published
    ones, which take minutes here, have tests of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        lighten(patch)
        yield write_light_weights(tmp_path_factory.mktemp(request.param) / "weights")


@pytest.fixture
def every(networks) -> bool:
    """Whether all protocols and metrics are measured alone, which takes long."""
    return networks.parent.name.startswith(ALL)


@pytest.fixture
def values(capsys, networks):
    """`benchmarks.measure`: the numbers that it prints."""

    def run(*arguments) -> dict[str, float]:
        allowed = ["--allow-unknown-weights", "--weights-dir", networks]
        measure.main([str(argument) for argument in (*arguments, *allowed)])
        return printed(capsys.readouterr().out, arguments[0].split(","))

    return run


def printed(text: str, names: list[str]) -> dict[str, float]:
    """The numbers of these metrics in what the command prints."""
    lines = (line.split() for line in text.splitlines())
    return {words[0]: float(words[1]) for words in lines if len(words) == 2 and words[0] in names}


# ----------------------------------------------------------------------------------------------
# Protocols


def by_protocol(data, networks, protocols: list[str], explain: bool = False) -> dict:
    found = evaluate(
        Decoder(),
        "reconstruction",
        data=data,
        profile="smoke",
        settings={"reconstruction.images": COUNT},
        protocol=protocols,
        explain=explain,
        features=["efficientnet-lite0"],
        weights_dir=networks,
        allow_unknown_weights=True,
        progress=False,
    )
    rows = [row for row in found.rows if row.table == "reconstruction_by_protocol"]
    return {(row.setting, row.metric): row for row in rows}


@pytest.mark.usefixtures("no_effnet")
def test_a_protocol_among_all_has_the_numbers_that_it_has_alone(data, networks, every):
    """In a run that explains, and in one with the protocols in another order."""
    shuffled = list(np.random.default_rng(0).permutation(sorted(PROTOCOLS)))
    joint = by_protocol(data, networks, [], explain=True), by_protocol(data, networks, shuffled)
    assert {name for name, _ in joint[0]} == {name for name, _ in joint[1]} == set(PROTOCOLS)
    for name in PROTOCOLS if every else FEW_ALONE:
        alone = by_protocol(data, networks, [name])
        measured = [row for row in alone.values() if row.value is not None]
        defined = [section for section in SECTIONS if section in PROTOCOLS[name]]
        reference = PROTOCOLS[name]["rfid"]["reference"][0]
        assert len(measured) == len(defined) - (reference != "the same crops"), name
        for key, row in alone.items():
            for rows in joint:
                assert row.value is None or rows[key].protocol == row.protocol, key
                for one, other in ((row.value, rows[key].value), (row.stderr, rows[key].stderr)):
                    assert other == (one and pytest.approx(one, rel=EXACT)), key
    for key, row in joint[0].items():
        assert joint[1][key].value == (row.value and pytest.approx(row.value, rel=EXACT)), key
    seen = {(key, f"{row.value:.9g}") for key, row in joint[0].items() if row.value is not None}
    for metric in (
        "rfid",
        "psnr",
        "ssim",
        "lpips",
        "lpips_vgg",
    ):  # there are several numbers to mix up
        assert len({value for (_, of), value in seen if of == metric}) >= 2, metric


@pytest.mark.usefixtures("no_effnet")
def test_numbers_of_a_joint_pass_are_those_of_other_libraries(data, networks):
    """scikit-image for LlamaGen, whose script rounds reconstructions alone; package lpips by trunk."""
    found = by_protocol(data, networks, ["rae", "llamagen", "lightningdit", "plain", "eq-vae"])
    order = np.random.default_rng(0).permutation(data.indices("test"))[:COUNT]
    pixels = np.stack([np.asarray(Image.fromarray(image)) for image in data.images(order)])
    originals, made = in_range(pixels), rebuilt(in_range(pixels))
    half_up = (127.5 * made + 128).clamp(0, 255).floor().permute(0, 2, 3, 1).numpy() / 255
    pairs = list(zip(pixels / 255, half_up, strict=True))
    psnr = np.mean([peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs])
    ssim = np.mean([structural_similarity(*p, data_range=2, channel_axis=-1) for p in pairs])
    assert found["llamagen", "psnr"].value == pytest.approx(psnr, rel=1e-6)
    assert found["llamagen", "ssim"].value == pytest.approx(ssim, rel=1e-6)
    for name, metric, net, images in (
        ("plain", "lpips", "alex", made.clamp(-1, 1)),
        ("lightningdit", "lpips_vgg", "vgg", made),
    ):
        scores = lpips_of(net, networks)(images, originals).flatten().numpy()
        if name == "lightningdit":  # a mean of the means of batches of 8
            scores = [scores[:8].mean(), scores[8:].mean()]
        assert found[name, metric].value == pytest.approx(np.mean(scores), rel=1e-4), name
    assert found["plain", "ssim"].value == pytest.approx(
        float(
            reference_metrics.ssim(
                *((x.double().clamp(-1, 1) + 1) / 2 for x in (originals, made))
            ).mean()
        ),
        rel=1e-6,
    )
    # RAE truncates reconstructions alone, and resizes as TensorFlow does
    truncated = (127.5 * (made.clamp(-1, 1) + 1)).floor()
    sides = truncated, torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    features = [
        light_inception(networks, of_tensorflow(x, (299, 299), align_corners=False)) for x in sides
    ]
    rfid = reference_metrics.frechet(*features)
    assert found["rae", "rfid"].value == pytest.approx(rfid, rel=1e-4)


def light_inception(folder: Path, images: torch.Tensor) -> np.ndarray:
    """Features of images of 299 px in [0, 255], as TensorFlow's graph scales them."""
    network = Inception()
    network.load_state_dict(torch.load(folder / KNOWN["inception"].files[-1].filename))
    with torch.no_grad():
        return network((images - 128) / 128).double().numpy()


def lpips_of(net: str, folder: Path) -> lpips.LPIPS:
    """Package lpips' own distance with the trunk in a folder."""
    name = {"alex": "alexnet", "vgg": "vgg16"}[net]
    with warnings.catch_warnings(), without_weights("cpu"):
        warnings.simplefilter("ignore", UserWarning)
        found = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = torch.load(folder / KNOWN[name].files[-1].filename)
    own = found.net.state_dict()
    found.net.load_state_dict({key: state["features." + key.split(".", 1)[1]] for key in own})
    return found.eval().requires_grad_(False)


def steps(name: str, section: str) -> Iterator[dict]:
    """The protocols from `plain` to another one with its fields changed one after the other, in the
    order of the file.
    """
    here, there = (
        {part: {**PROTOCOLS[of][part]} for part in ("pixels", section)} for of in ("plain", name)
    )
    yield here
    for part in ("pixels", section):
        for field, pair in there[part].items():
            if pair[0] != here[part][field][0] and f"{part}.{field}" not in OF_DATA:
                here = {**here, part: {**here[part], field: pair}}
                yield here


def written(path: Path, protocol: dict) -> Path:
    """A protocol's file."""
    lines = ['title = "mine"', 'code = "someone/something@0 file.py"']
    for section, fields in protocol.items():
        lines.append(f"[{section}]")
        for field, (value, _) in fields.items():
            lines.append(f'{field} = [{json.dumps(value)}, "l.1"]')
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.slow
def test_each_step_of_an_explanation_is_a_difference_of_two_protocols_alone(
    pair, networks, values, every, tmp_path
):
    """Each cause that is told, by protocols in files that have all changes up to it."""
    allowed = ["--allow-unknown-weights", "--weights-dir", str(networks)]
    measure.main(["--explain", *map(str, pair), "--out", str(tmp_path / "out"), *allowed])
    with open(tmp_path / "out" / "protocols.csv", encoding="utf-8", newline="") as file:
        rows = {(row["metric"], row["protocol"]): row for row in csv.DictReader(file)}
    known: dict[str, float] = {}

    def alone(section: str, protocol: dict) -> float:
        metric = SECTIONS[section]
        text = f"{section} {protocol}"
        if text not in known:
            path = written(tmp_path / f"step{len(known)}.toml", protocol)
            known[text] = values(metric, *pair, "--protocol", path)[metric]
        return known[text]

    told, few = 0, {"plain", "llamagen", "torchmetrics-1.8", "seed-voken", "clean-fid", *FEW_ALONE}
    for (section, name), row in rows.items():
        if row["not_computed"] or not (every or name in few):
            continue
        way = [alone(section, protocol) for protocol in steps(name, section)]
        assert float(row["value"]) == pytest.approx(way[-1], rel=1e-6), (section, name)
        if name != "plain":
            assert float(row["difference"]) == pytest.approx(way[-1] - way[0], rel=1e-4, abs=1e-6)
        causes = row["causes"].split("; ") if row["causes"] else []
        sizes = sorted(map(abs, np.diff(way)), reverse=True)[: len(causes)]
        assert len(causes) <= len(way) - 1
        if len(causes) > 1:
            found = [abs(float(cause.rpartition(": ")[2])) for cause in causes]
            assert found == pytest.approx(sizes, rel=6e-3, abs=1e-4), (section, name)
            told += len(causes)
    assert told > 12


def test_metrics_by_a_protocol_measured_together_are_those_alone(pair, values):
    names = [metric for section, metric in SECTIONS.items() if section in PROTOCOLS["dc-ae"]]
    alone = {name: values(name, *pair, "--protocol", "dc-ae")[name] for name in names}
    for order in (names, names[::-1]):
        assert values(",".join(order), *pair, "--protocol", "dc-ae") == alone
    assert alone["fid"] != values("fid", *pair, "--protocol", "llamagen")["fid"]


def test_pytorch_fids_protocol_is_its_network_on_resized_images(pair, networks, values):
    network = Inception()
    network.load_state_dict(torch.load(networks / KNOWN["inception"].files[-1].filename))
    features = []
    for folder in pair:
        images = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.iterdir())])
        unit = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
        large = torch.nn.functional.interpolate(
            unit, (299, 299), mode="bilinear", align_corners=False
        )
        with torch.no_grad():
            features.append(network(2 * large - 1).double().numpy())
    expected = reference_metrics.frechet(*features)
    assert values("fid", *pair, "--protocol", "plain")["fid"] == pytest.approx(expected, rel=1e-4)


# ----------------------------------------------------------------------------------------------
# Metrics of one command


def test_metrics_of_one_command_are_those_measured_alone(
    networks, every, tmp_path, capsys, monkeypatch
):
    """All that the command knows and whose weights are here, in two orders."""
    with pytest.raises(SystemExit):
        measure.main(["--help"])
    told = capsys.readouterr().out.partition("positional arguments:")[2]
    names = "".join(told.partition("METRIC[,METRIC...]")[2].partition("of codes:")[0].split())
    names = names.rstrip(";").split(",")
    assert {"fid", "kid", "precision", "ssim", "identity", "lpips_vgg"} <= set(names)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = tmp_path / "weights"
    weights.mkdir()
    for file in networks.iterdir():
        (weights / file.name).symlink_to(file)
    if not (weights / "w600k_r50.onnx").exists():
        write_onnx(weights / "w600k_r50.onnx")
    images = photographs(7, *((162, 167) if every else (48, 53)), 2)  # MS-SSIM needs 161 px
    made = rebuilt(in_range(images)).add(1).mul(127.5).clamp(0, 255).byte().permute(0, 2, 3, 1)
    pair = saved(tmp_path / "a", images), saved(tmp_path / "b", made.numpy())

    def measured(given: list[str]) -> dict[str, float]:
        arguments = [",".join(given), *map(str, pair), "--batch-size", "3"]
        arguments += ["--weights-dir", str(weights), "--allow-unknown-weights"]
        try:
            measure.main(arguments)
        except plugin.UserError:
            pass  # a metric whose weights are missing; the others are printed
        return printed(capsys.readouterr().out, given)

    names = names if every else [name for name in names if name != "fid"]  # of 2,048 numbers
    joint = measured(names)
    missing = {name for name in names if name not in joint}
    unmeasured = {"cmmd", "id_dlib", *([] if every else ["ms_ssim"])}
    assert all("dino" in name or "clip" in name or name in unmeasured for name in missing)
    for name in joint:
        assert measured([name]) == {name: pytest.approx(joint[name], rel=2e-7, abs=1e-9)}, name
    if every:
        assert measured(names[::-1]) == pytest.approx(joint, rel=2e-7, abs=1e-9)
    assert len({f"{value:.6g}" for value in joint.values()}) > 12  # several to mix up


# ----------------------------------------------------------------------------------------------
# Settings, benchmarks and systems of one run

SEVERAL = several()
FEW = {
    "samples.count": 24,
    "reconstruction.images": 10,
    "probes.train": 72,
    "fewshot.pool": 24,
    "fewshot.samples": 8,
    "fewshot.seeds": 1,
    "fewshot.binary_k": 8,
    "fewshot.pu_positives": 8,
    "fewshot.pu_unlabeled": 20,
    "latent.training": 30,
}
FITTED = {"probes", "representation", "identity", "fewshot", "unconditional", "cost"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory) -> dict:
    """What all runs on painted images have in common."""
    root = tmp_path_factory.mktemp("faces")
    (root / "weights").mkdir()
    write_onnx(root / "weights" / "w600k_r50.onnx")
    return {
        "data": write_images(root / "data"),
        "profile": "smoke",
        "weights_dir": root / "weights",
        "allow_unknown_weights": True,
        "progress": False,
    }


def numbers(rows) -> dict[tuple, tuple]:
    """The numbers of rows and their errors, by all that names them, without times.

    Of real images there is a row for each number of accepted samples; the largest is not in its name.
    """
    return {
        (title(r), r.table, r.metric, r.setting, r.steps): (r.value, r.stderr, r.n)
        for r in rows
        if r.value is not None and r.benchmark != "cost"
    }


def title(row: Record) -> str:
    is_scale = row.benchmark == "fewshot" and row.system.startswith((NAIVE, OF_CLASS))
    return f"{row.system.partition(OF_N)[0]}{OF_N}{row.n}" if is_scale else row.system


def agree(alone: dict, joint: dict) -> None:
    for key, (value, stderr, n) in alone.items():
        assert key in joint, key
        assert joint[key][0] == pytest.approx(value, rel=EXACT, abs=1e-15), key
        assert (joint[key][1] is None) == (stderr is None), key
        assert stderr is None or joint[key][1] == pytest.approx(stderr, rel=1e-9, abs=1e-15), key
        assert joint[key][2] == n, key


@pytest.mark.usefixtures("no_effnet", "short_fits")
@pytest.mark.parametrize("fitted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_value_of_a_setting_among_others_has_the_numbers_that_it_has_alone(faces, fitted):
    """All settings of several values at once, in a run of all benchmarks, of which those that fit
    classifiers take longer: the last value of each.
    """
    names = [name for name in every_benchmark() if fitted or name not in FITTED]
    alone = {name: several[-1:] for name, several in SEVERAL.items()}
    joint = numbers(evaluate(Painted(), names, settings={**FEW, **SEVERAL}, **faces).rows)
    one = numbers(evaluate(Painted(), names[::-1], settings={**FEW, **alone}, **faces).rows)
    named = {of_last_rule(key): value for key, value in one.items()}
    agree({key: value for key, value in named.items() if key in joint}, joint)
    assert len(joint.keys() & named.keys()) > 0.8 * len(one) and len(joint) > 1.2 * len(one)


def of_last_rule(key: tuple) -> tuple:
    """The rows of a rule of acceptance that is not the first name it beside the system."""
    rule = SEVERAL["fewshot.acceptance"][-1]
    return (f"{key[0]}, {rule} rule", *key[1:]) if "fewshot" in key[1] else key


@pytest.mark.slow
@pytest.mark.usefixtures("no_effnet", "short_fits")
def test_a_benchmark_and_a_system_among_others_have_the_numbers_that_they_have_alone(faces):
    systems = [Painted(), Plain(), Tokens()]
    given = {**faces, "settings": {**FEW, **SEVERAL}}
    joint = numbers(evaluate(systems, "all", **given).rows)
    backwards = numbers(evaluate(systems[::-1], every_benchmark()[::-1], **given).rows)
    agree(joint, backwards)
    for system in (Painted(), Plain(), Tokens()):
        for name in every_benchmark():
            agree(numbers(evaluate(system, name, **given).rows), joint)


@pytest.mark.usefixtures("no_effnet", "short_fits")
def test_a_feature_network_among_others_has_the_numbers_that_it_has_alone(
    faces, networks, tmp_path, every
):
    file = KNOWN["inception"].files[-1].filename
    (tmp_path / file).symlink_to(networks / file)
    tasks = ["latent", "memorisation", *(["reconstruction", "unconditional"] if every else [])]
    given = {**faces, "weights_dir": tmp_path, "settings": FEW}
    several = ["inception", "efficientnet-lite0"]
    joint = numbers(evaluate(Painted(), tasks, features=several, **given).rows)
    alone = [numbers(evaluate(Painted(), tasks, features=[one], **given).rows) for one in several]
    agree(alone[0], joint)
    agree(alone[1], joint)
    assert alone[0].keys() | alone[1].keys() == joint.keys()
    if every:
        backwards = evaluate(Painted(), tasks, features=several[::-1], **given)
        agree(numbers(backwards.rows), joint)
