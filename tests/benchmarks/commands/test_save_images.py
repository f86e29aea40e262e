"""--save-images: reconstructions as files, which give the same measurements as the run."""

import in_process
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import evaluate, measure
from benchmarks.run import main
from diffae.system.errors import UserError

pytestmark = pytest.mark.usefixtures("no_effnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Ten images of other people's, reconstructed by a system that is wrong and by one that is not."""

    folder, out = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run") / "out"
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3))):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"a{index}.png")
    systems = ("--systems", "dummy-perfect,dummy-constant")
    result = in_process.command(
        main, "reconstruction", *systems, "--profile", "smoke", "--data", folder, "--out", out,
        "--save-images", cache=tmp_path_factory.mktemp("cache"),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return out


def test_every_test_image_and_reconstruction_is_a_file_of_its_number(run):
    numbers = {f"{n:06d}.png" for n in pd.read_csv(run / "samples.csv").image}
    assert {p.name for p in (run / "images").iterdir()} == {
        "inputs", "dummy-perfect", "dummy-constant",
    }  # fmt: skip
    for folder in (run / "images").iterdir():
        assert {p.name for p in folder.iterdir()} == numbers


def test_the_files_measure_as_the_run_did(run, capsys):
    """Rounding to 8 bits apart."""
    inputs, other = run / "images" / "inputs", run / "images" / "dummy-constant"
    measure.main(["mse,ssim,psnr", str(inputs), str(other)])
    lines = capsys.readouterr().out.splitlines()
    measured = dict(line.split() for line in lines if line.split()[0] in ("mse", "ssim", "psnr"))
    samples = pd.read_csv(run / "samples.csv").groupby("system").mean(numeric_only=True)
    (constant,) = (row for system, row in samples.iterrows() if "onstant" in system)
    assert list(measured) == ["mse", "ssim", "psnr"]
    for name, value in measured.items():
        assert float(value) == pytest.approx(constant[name], rel=2e-3, abs=1e-4)
    measure.main(["mse", str(inputs), str(run / "images" / "dummy-perfect")])
    assert capsys.readouterr().out.splitlines()[-1] == "mse 0"


def test_images_are_kept_of_what_was_measured_without_them_before(patches, tmp_path, monkeypatch):
    """And measured without them after they were kept: the numbers are the same."""
    monkeypatch.setenv("DIFFAE_CACHE", str(tmp_path / "cache"))
    rows = []
    for number, keeps in enumerate((False, True, False)):
        out = tmp_path / f"run-{number}"
        found = evaluate(
            "dummy-map",
            "reconstruction",
            patches.root,
            "smoke",
            out=out,
            cache=True,
            save_images=keeps,
        )
        rows.append([(row.metric, row.setting, row.value, row.stderr) for row in found.rows])
        images = found.samples().image.unique()
        kept = {path.name for path in (out / "images" / "dummy-map").glob("*.png")}
        assert kept == ({f"{image:06d}.png" for image in images} if keeps else set())
    assert rows[0] == rows[1] == rows[2]


def test_python_needs_a_folder_to_keep_them_in():
    with pytest.raises(UserError, match="save_images: needs a run folder"):
        evaluate("dummy-perfect", "reconstruction", profile="smoke", save_images=True)
