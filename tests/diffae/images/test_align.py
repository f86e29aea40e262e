"""Alignment of faces by five landmarks: FFHQ's square in closed form, and the resulting picture."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from diffae.images.faces import aligned, square_of

UPRIGHT = np.array([[40, 50], [60, 50], [50, 60], [43, 72], [57, 72]], float)


def turned(points, degrees, around):
    a = np.radians(degrees)
    return (points - around) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]]) + around


def test_the_square_of_an_upright_face():
    """Eyes 20 apart, mouth 22 below: half a side max(2 x 20, 1.8 x 22) = 40, centre 2.2 below the eyes."""
    expected = [[10, 12.2], [10, 92.2], [90, 92.2], [90, 12.2]]
    np.testing.assert_allclose(square_of(UPRIGHT), expected)


def test_the_square_turns_with_the_face():
    around = np.array([50.0, 50.0])
    square = square_of(turned(UPRIGHT, 30, around))
    np.testing.assert_allclose(square, turned(square_of(UPRIGHT), 30, around))


def gradient():
    y, x = np.mgrid[:100, :100]
    return Image.fromarray(np.stack([2 * x, 2 * y, 0 * x], -1).astype(np.uint8))


def test_the_face_is_cut_out_of_the_picture():
    """Of a picture whose colours are its coordinates: pixel k of 40 lies 2 k + 1 into the square of 80."""
    pixels = aligned(gradient(), UPRIGHT, 40).astype(float)
    k = np.arange(4, 36)
    np.testing.assert_allclose(pixels[20, k, 0] / 2, 10 + 2 * k + 0.5, atol=1)
    np.testing.assert_allclose(pixels[k, 20, 1] / 2, 12.2 + 2 * k + 0.5, atol=1)


ASTRONAUT = np.array([[201, 113], [243, 108], [226, 134], [207, 151], [247, 147]], float)
# Sixteen pixels of the crop of skimage's astronaut by `recreate_aligned_images` of NVlabs/ffhq-dataset
# (193deb6), with output_size S and transform_size 4 S: the face within the picture; the same with the
# picture reduced first.
PUBLISHED = {
    64: [
        [[186, 176, 167], [149, 129, 96], [114, 89, 39], [118, 98, 54]],
        [[67, 48, 14], [100, 76, 54], [191, 157, 129], [71, 52, 13]],
        [[222, 216, 219], [155, 109, 85], [194, 154, 125], [214, 203, 200]],
        [[0, 0, 0], [195, 173, 142], [134, 112, 85], [218, 209, 207]],
    ],
    16: [
        [[115, 97, 62], [121, 96, 55], [165, 143, 103], [104, 87, 51]],
        [[70, 51, 29], [162, 131, 107], [159, 134, 115], [68, 52, 12]],
        [[113, 105, 113], [217, 180, 164], [186, 153, 120], [213, 202, 196]],
        [[13, 8, 5], [100, 88, 70], [77, 71, 76], [221, 209, 205]],
    ],
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_crop_is_that_of_the_data_set(size):
    pixels = aligned(Image.fromarray(data.astronaut()), ASTRONAUT, size)
    some = pixels[size // 8 :: size // 4, size // 8 :: size // 4].astype(int)
    np.testing.assert_allclose(some, PUBLISHED[size], atol=1)


@pytest.mark.parametrize("move", [(-40, -50), (60, 40)])
def test_beyond_its_edges_the_picture_is_mirrored(move):
    """The colours are the coordinates, of 100 pixels each way; those outside are reflected ones."""
    pixels = aligned(gradient(), UPRIGHT + move, 40).astype(float)
    k = np.arange(40)
    for channel, start, line in ((0, 10 + move[0], pixels[20]), (1, 12.2 + move[1], pixels[:, 20])):
        place = start + 2 * k + 0.5
        mirrored = 99 - np.abs(99 - np.abs(place))
        near = (np.abs(place) > 4) & (np.abs(place - 99) > 4) & (k > 3) & (k < 36)
        np.testing.assert_allclose(line[near, channel] / 2, mirrored[near], atol=1)
