"""Crops of public evaluation codes, each against the library or the recipe that it comes from."""

import sys
from functools import partial

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from PIL import Image
from sklearn.datasets import load_sample_images

from diffae.data.transforms import CROPS, Transform
from diffae.system.errors import UserError

S = 32
# Width and height: landscape, portrait, smaller than S, S, 2 S and 4 S + 1, alone and on one side.
SIZES = [(133, 90), (90, 133), (20, 31), (31, 20), (S, S), (2 * S, 2 * S), (2 * S, 77), (129, 129),
         (201, 129), (S, 51), (51, S), (63, 64), (64, 63), (300, 47)]  # fmt: skip


@pytest.fixture(scope="module")
def photo():
    return Image.fromarray(load_sample_images().images[1])


def cut(image, crop):
    return Transform(S, crop).apply(image, "photo")


def guided_diffusion(image):
    """The recipe in words: box halvings, bicubic to S on the shorter side, the middle."""
    while not min(image.size) < 2 * S:
        image = image.resize(tuple(side // 2 for side in image.size), resample=Image.BOX)
    scale = S / min(image.size)
    image = image.resize(tuple(round(side * scale) for side in image.size), resample=Image.BICUBIC)
    pixels = np.array(image)
    top, left = (pixels.shape[0] - S) // 2, (pixels.shape[1] - S) // 2
    return pixels[top : top + S, left : left + S]


def torchvision_bicubic(image):
    bicubic = T.InterpolationMode.BICUBIC
    return np.asarray(T.Compose([T.Resize(S, bicubic), T.CenterCrop(S)])(image))


def torchvision_tensor(image, antialias=True):
    """As LightningDiT makes its reference images."""
    resize, normalised = T.Resize(S, antialias=antialias), T.Normalize([0.5] * 3, [0.5] * 3)
    x = T.Compose([T.ToTensor(), resize, T.CenterCrop(S), normalised])(image)
    return torch.clamp(127.5 * x + 128.0, 0, 255).permute(1, 2, 0).to(torch.uint8).numpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("crop", "oracle"),
    [
        ("adm", guided_diffusion),
        ("center-bicubic", torchvision_bicubic),
        ("center-tensor", torchvision_tensor),
        ("center-tensor-aliased", partial(torchvision_tensor, antialias=False)),
    ],
)
def test_a_crop_has_the_pixels_of_its_library(photo, size, crop, oracle):
    image = photo.crop((3, 5, 3 + size[0], 5 + size[1]))
    np.testing.assert_array_equal(cut(image, crop), oracle(image))


@pytest.mark.parametrize("size", SIZES)
def test_cv2_is_bilinear_without_antialiasing(photo, size):
    """By PyTorch, to the one grey level by which OpenCV's fixed point may differ."""
    image = photo.crop((3, 5, 3 + size[0], 5 + size[1]))
    height, width = (round(side * S / min(size)) for side in reversed(size))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].double()
    resized = torch.nn.functional.interpolate(pixels, (height, width), mode="bilinear")[0]
    top, left = (height - S) // 2, (width - S) // 2
    expected = resized[:, top : top + S, left : left + S].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(cut(image, "cv2"), expected, atol=1)


def test_cv2_has_the_pixels_of_albumentations():
    """Of albumentations 1.3.1 with OpenCV 5.0.0: SmallestMaxSize(8), CenterCrop(8, 8)."""
    i, j = np.mgrid[:21, :37]
    image = np.stack([(31 * i + 17 * j + 7 * i * j + 50 * c) % 256 for c in range(3)], -1)
    pixels = Transform(8, "cv2").apply(Image.fromarray(image.astype(np.uint8)), "image")
    assert pixels[2, :, 0].tolist() == [184, 97, 229, 144, 51, 197, 98, 191]
    assert pixels[:, 5, 1].tolist() == [109, 178, 247, 67, 132, 183, 159, 89]


def test_cv2_without_opencv_names_the_package(photo, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match="crop cv2: .*pip install opencv-python-headless"):
        cut(photo, "cv2")


def test_what_an_untouched_image_becomes(photo):
    """A square of the right size is itself under every crop."""
    image = photo.crop((40, 40, 40 + S, 40 + S))
    for crop in CROPS.keys() - {"d2c"}:
        np.testing.assert_array_equal(cut(image, crop), np.asarray(image), err_msg=crop)


def test_crops_are_described_by_how_they_resample():
    told = {
        crop: tuple(Transform(S, crop).describe()[name] for name in ("filter", "resampler"))
        for crop in CROPS.keys() - {"d2c", "none"}
    }
    assert len(set(told.values())) == 5
    assert told["center"] == ("bilinear", "PIL")
    assert Transform(S, "center").describe()["antialias"] is True
    assert Transform(S, "cv2").describe()["antialias"] is False
