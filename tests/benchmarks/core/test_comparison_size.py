"""At which size images are compared, which system decides it, and what --size changes."""

import pytest
from systems import Cells
from torch.nn.functional import interpolate

from benchmarks import evaluate
from diffae.system.errors import UserError


def blur(side):
    """A system whose pictures are the images at half of its own size."""
    return Cells(side, side // 2, name="blur")


def mse(patches, order, size):
    """The errors of systems of 16 and of 32 px, each decoded picture resized to `size`."""
    truth = patches.at(size).batch(order)
    for own in (16, 32):
        images = patches.at(own).batch(order)
        made = interpolate(interpolate(images, scale_factor=0.5, mode="area"), scale_factor=2.0)
        if own != size:
            made = interpolate(made, (size, size), mode="bilinear", antialias=True)
        yield float(((made.clamp(-1, 1) - truth) / 2).square().mean())


@pytest.mark.parametrize(
    ("asked", "size", "text"),
    [
        (None, 16, "Images are compared at 16 px, the size of small, the smallest; resized to it: large from 32 px."),
        (16, 16, "Images are compared at 16 px, as asked for; resized to it: large from 32 px."),
        (32, 32, "Images are compared at 32 px, as asked for; resized to it: small from 16 px."),
        (24, 24, "Images are compared at 24 px, as asked for; resized to it: small from 16 px, large from 32 px."),
    ],
)  # fmt: skip
def test_the_size_of_the_comparison_is_said_and_can_be_chosen(patches, capsys, asked, size, text):
    models = {"small": blur(16), "large": blur(32)}
    data = str(patches.root)
    results = evaluate(models, "reconstruction", data, "smoke", limit=12, size=asked)
    assert text in capsys.readouterr().err
    found = {
        r.system: r for r in results.rows if r.metric == "mse" and r.table.startswith("table1")
    }
    order = found["small"].estimate.scores.images
    expected = dict(zip(models, mse(patches, order, size), strict=True))
    assert {name: r.value for name, r in found.items()} == pytest.approx(expected, rel=1e-4)
    assert {r.measured_by["transform"]["image_size"] for r in found.values()} == {size}
    for name in ("overview", "table1_reconstruction"):
        assert results.tables[name].caption.endswith(text)


def test_systems_of_one_size_say_nothing_of_it(patches, capsys):
    results = evaluate(blur(32), "reconstruction", str(patches.root), "smoke", limit=4)
    assert "compared at" not in capsys.readouterr().err + results.tables["overview"].caption


def test_a_size_above_that_of_the_images_is_refused(patches):
    with pytest.raises(
        UserError, match="--size takes 128 px; give larger images or a smaller --size"
    ):
        evaluate(blur(32), "reconstruction", str(patches.root), "smoke", limit=4, size=128)
