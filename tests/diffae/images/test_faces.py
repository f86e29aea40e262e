"""Faces found by dlib: on a photograph, and the five points of their landmarks in closed form."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from skimage import data

from diffae import images
from diffae.images import faces
from diffae.system.errors import UserError

installed = importlib.util.find_spec("dlib") and importlib.util.find_spec(faces.MODELS)
with_dlib = pytest.mark.skipif(not installed, reason="pip install -e '.[faces]'")


def landmarks(points):
    """As dlib gives them: whole pixels."""
    return SimpleNamespace(parts=lambda: [SimpleNamespace(x=x, y=y) for x, y in points])


def test_the_five_points_of_68():
    """Each eye the mean of six, the mouth the first and the seventh of its outline; in a picture
    enlarged four times pixel k lies at (k + 1/2) / 4 - 1/2.
    """
    points = np.stack([np.arange(68), np.arange(68) ** 2], 1)
    found = faces.five_points(faces.DetectedFace(np.empty(0), landmarks(points.tolist()), 4.0))
    eyes = [points[36:42].mean(0), points[42:48].mean(0)]
    np.testing.assert_allclose(
        found, (np.stack([*eyes, points[30], points[48], points[54]]) + 0.5) / 4 - 0.5
    )


@pytest.mark.parametrize("absent", ["dlib", faces.MODELS])
def test_without_the_packages_a_line_says_what_to_install(absent, monkeypatch, tmp_path):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        faces.importlib.util, "find_spec", lambda name: None if name == absent else find(name)
    )
    monkeypatch.setitem(sys.modules, "dlib", None)
    Image.fromarray(data.astronaut()).save(tmp_path / "a.png")
    with pytest.raises(
        UserError, match=r"^--align: needs a package; pip install 'dlib-bin>=20' 'face.*'$"
    ):
        images.read(tmp_path / "a.png", 32, align=True)


@pytest.fixture(scope="module")
def finder():
    return faces.FaceFinder(faces.model_file(faces.LANDMARKS_68, "test"), "test")


@with_dlib
def test_the_landmarks_are_dlib_s(finder):
    import dlib

    (box,) = dlib.get_frontal_face_detector()(data.astronaut(), 0)
    path = faces.model_file(faces.LANDMARKS_68, "test")
    theirs = dlib.shape_predictor(str(path))(data.astronaut(), box).parts()
    np.testing.assert_allclose(finder(data.astronaut()).points, [(p.x, p.y) for p in theirs])
    assert faces.MODELS not in sys.modules  # its own code fails with a new setuptools


@with_dlib
@pytest.mark.parametrize("size", [64, 256])
def test_a_small_picture_has_the_same_landmarks(finder, size):
    """They are given in pixels of the small picture, to three pixels of the large one."""
    whole = Image.fromarray(data.astronaut()).crop((96, 0, 352, 256))
    small = np.array(whole.resize((size, size), Image.Resampling.LANCZOS))
    found = faces.five_points(finder(small)) * 256 / size
    np.testing.assert_allclose(found, faces.five_points(finder(np.array(whole))), atol=3)


@with_dlib
def test_the_largest_face_is_taken(finder):
    large = Image.fromarray(data.astronaut())
    both = Image.new("RGB", (800, 512))
    both.paste(large.resize((300, 300)), (0, 0))
    both.paste(large, (300, 0))
    assert finder(np.array(both)).points.min() > 300
    small_one = np.array(both)[:, :300]
    assert finder(small_one).points.max() < 300  # there are two


@with_dlib
def test_a_photograph_is_aligned_by_its_face(finder, tmp_path):
    picture = Image.fromarray(data.astronaut())
    picture.save(tmp_path / "a.png")
    points = faces.five_points(finder(data.astronaut()))
    marked_by_hand = [[201, 113], [243, 108], [226, 134], [207, 151], [247, 147]]
    np.testing.assert_allclose(points, marked_by_hand, atol=15)
    (found,) = images.to_pil(images.read(tmp_path / "a.png", 64, align=True))
    np.testing.assert_array_equal(np.asarray(found), faces.aligned(picture, points, 64))


@with_dlib
def test_pictures_without_a_face_are_named(tmp_path):
    Image.fromarray(data.astronaut()).save(tmp_path / "a.png")
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "b.png")
    with pytest.raises(UserError, match=r"b.png: --align found no face"):
        images.read(tmp_path, 32, align=True)


@with_dlib
def test_a_file_that_is_no_predictor_is_named(tmp_path):
    (tmp_path / "landmarks.dat").write_bytes(b"other")
    with pytest.raises(UserError, match=r"landmarks.dat: not the landmarks of dlib"):
        faces.FaceFinder(tmp_path / "landmarks.dat", "test")
