"""samples.csv: the scores of single images, by file."""

import numpy as np
import pandas as pd
import pytest
from lone_context import small_context
from PIL import Image

from benchmarks import evaluate
from benchmarks.core.measurement import Place
from benchmarks.core.runner.evaluation import make_record
from reports.records.run_folder import samples_of

pytestmark = pytest.mark.usefixtures("no_effnet")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two systems on images of other people's names; one of them wrong by a known amount."""
    folder = tmp_path_factory.mktemp("=images")
    for name, level in (("=1+1.png", 10), ("=a,b.png", 90), ("=c.png", 130), ("=d.png", 250)):
        pixels = np.full((32, 32, 3), level, np.uint8)
        pixels[:16] += 5
        Image.fromarray(pixels).save(folder / name)
    out = tmp_path_factory.mktemp("run") / "out"
    results = evaluate(
        ["dummy-perfect", "dummy-constant"],
        ["reconstruction"],
        data=folder,
        profile="smoke",
        out=out,
    )
    return results, out


def test_a_row_an_image_and_system_with_its_file_and_scores(run):
    results, out = run
    frame = pd.read_csv(out / "samples.csv", keep_default_na=False)
    test = results.dataset.indices("test")
    assert len(frame) == 2 * len(test)
    constant = frame[frame.system.str.contains("onstant")].set_index("image")
    for image in test:
        pixels = results.dataset.images([image])[0] / 255
        assert constant.mse[image] == pytest.approx(((pixels - 0.5) ** 2).mean(), rel=1e-2)
    assert (frame[frame.system.str.contains("erfect")].mse == 0).all()


def test_a_file_whose_name_is_a_formula_is_text(run):
    results, out = run
    names = {results.dataset.name_of(i) for i in range(4)}
    assert names == {"=1+1.png", "=a,b.png", "=c.png", "=d.png"}
    written = set(pd.read_csv(out / "samples.csv").file)
    assert written and written <= {f"'{name}" for name in names}


def test_solvers_with_equal_steps_are_apart(run):
    """T = 10 of DDIM and T = 10 of another solver are two samples of one image."""
    results, out = run
    context = small_context(results.dataset, out)
    images, place = context.select("test", 4), Place(context, "table2_by_calls", title="DiffAE")
    records = [
        make_record(
            place.at(steps=10, solver=solver), "mse", images.units.mean(np.full(len(images), score))
        )
        for solver, score in (("ddim", 1.0), ("fast", 2.0))
    ]
    found = samples_of(records, results.dataset.name_of)
    assert found.groupby("solver").mse.mean().to_dict() == {"ddim": 1.0, "fast": 2.0}
    assert len(found) == 2 * len(images)


def test_hits_are_numbers(run):
    """A share of images, such as top-1 accuracy, is the mean of ones and zeros."""
    results, out = run
    context = small_context(results.dataset, out)
    images, place = context.select("test", 4), Place(context, "section5.3_probe", title="DiffAE")
    hits = np.arange(len(images)) % 2 == 0
    record = make_record(place, "top1", images.units.mean(hits))
    found = samples_of([record], results.dataset.name_of)
    assert list(found.top1) == [float(hit) for hit in hits] and found.top1.dtype == float
