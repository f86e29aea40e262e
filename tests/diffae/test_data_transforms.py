"""Pixels of files of every colour mode, with torchvision's transforms as the reference."""

import numpy as np
import pytest
import torchvision.transforms as T
from PIL import Image
from sklearn.datasets import load_sample_images

from diffae.data.transforms import Transform, decode
from diffae.system.errors import UserError


@pytest.fixture(scope="module")
def photo():
    return Image.fromarray(load_sample_images().images[0])


def torchvision_center(size):
    return T.Compose([T.Resize(size), T.CenterCrop(size)])


@pytest.mark.parametrize(
    "box", [(0, 0, 640, 427), (7, 3, 178, 396), (5, 5, 66, 66), (0, 0, 33, 50)]
)
@pytest.mark.parametrize("size", [8, 32, 33, 64, 128])
def test_center_is_torchvisions_resize_and_center_crop(photo, box, size):
    image = photo.crop(box)
    expected = np.asarray(torchvision_center(size)(image))
    np.testing.assert_array_equal(Transform(size).apply(image, "photo"), expected)


@pytest.mark.parametrize("size", [64, 128])
def test_d2c_is_rows_57_to_185_and_columns_25_to_153(photo, size):
    image = photo.crop((100, 50, 278, 268))
    face = Image.fromarray(np.asarray(image)[57:185, 25:153])
    expected = np.asarray(T.Resize(size)(face))
    np.testing.assert_array_equal(Transform(size, "d2c").apply(image, "photo"), expected)


def test_pad_puts_the_image_in_the_middle_of_a_black_square(photo):
    image = photo.crop((0, 0, 28, 28))
    expected = np.pad(np.asarray(image), ((2, 2), (2, 2), (0, 0)))
    np.testing.assert_array_equal(Transform(32, pad_to=32).apply(image, "photo"), expected)


@pytest.mark.parametrize("crop", ["d2c", "none"])
def test_a_crop_that_does_not_fit_names_the_image(photo, crop):
    with pytest.raises(UserError, match=rf"faces/7\.jpg: crop {crop} needs .* is 640 x 427"):
        Transform(64, crop).apply(photo, "faces/7.jpg")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 7}, "image size 7: use 8 to 4096"),
        ({"image_size": 100_000_000}, "image size 100000000: use 8 to 4096"),
        (
            {"image_size": 64, "crop": "centre"},
            "crop 'centre' is unknown; choose center, d2c, none",
        ),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Transform(**arguments)


def test_describe_tells_every_setting_apart():
    transforms = [
        Transform(64),
        Transform(32),
        Transform(64, "d2c"),
        Transform(64, pad_to=80),
    ]
    described = {tuple(sorted(t.describe().items(), key=lambda item: item[0])) for t in transforms}
    assert len(described) == len(transforms)


def save(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp"])
def test_lossless_formats_keep_every_pixel(photo, tmp_path, suffix):
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(photo.crop((0, 0, 60, 40)), tmp_path / f"a.{suffix}", **options)
    np.testing.assert_array_equal(np.asarray(decode(path)), np.asarray(photo)[:40, :60])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(photo, tmp_path, orientation):
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    upright = np.asarray(photo)[:40, :60]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored(upright)))
    path = save(image, tmp_path / "phone.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(decode(path)), upright)


def test_grey_palette_and_bilevel(tmp_path):
    grey = Image.linear_gradient("L")
    expected = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    for name, image in {"L": grey, "P": grey.convert("P")}.items():
        path = save(image, tmp_path / f"{name}.png")
        np.testing.assert_array_equal(np.asarray(decode(path)), expected)
    bilevel = decode(save(grey.convert("1", dither=Image.Dither.NONE), tmp_path / "1.png"))
    assert set(np.unique(np.asarray(bilevel))) == {0, 255}


@pytest.mark.parametrize("alpha", [0, 51, 255])
@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (200, 100, 0)), ("LA", (100,))])
def test_transparency_is_composited_on_white(tmp_path, mode, colour, alpha):
    path = save(Image.new(mode, (4, 4), (*colour, alpha)), tmp_path / "a.png")
    a = alpha / 255
    expected = np.broadcast_to([a * value + (1 - a) * 255 for value in colour], (3,))
    np.testing.assert_allclose(np.asarray(decode(path))[0, 0], expected, atol=1)


def test_transparent_palette_entry_becomes_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 0])
    image.putpixel((1, 0), 1)
    pixels = np.asarray(decode(save(image, tmp_path / "p.png", transparency=0)))
    np.testing.assert_array_equal(pixels[0], [[255, 255, 255], [200, 100, 0]])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("keep", [0, 9, 0.5])
def test_damaged_files_are_named(photo, tmp_path, suffix, keep):
    path = save(photo.crop((0, 0, 80, 80)), tmp_path / f"damaged.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(UserError) as caught:
        decode(path)
    assert str(caught.value).startswith(f"{path}: cannot read this image (")
    assert "\n" not in str(caught.value)
