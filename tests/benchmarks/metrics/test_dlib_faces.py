"""`id_dlib`: dlib's own results, what is found and what is not, and when it is used."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from benchmarks import weights
from benchmarks.measure import main
from benchmarks.metrics.networks.chosen import MetricNetworks, Networks
from benchmarks.metrics.networks.faces import FaceEmbedding
from benchmarks.runtime.choices import NetworkChoice
from benchmarks.runtime.errors import NotAvailable
from diffae.system.errors import UserError
from reports.records.metrics import DLIB

CPU = torch.device("cpu")
HALVES = slice(512, None), slice(0, 512)  # with the large face, with the small one


def signed(*pictures: np.ndarray) -> torch.Tensor:
    """uint8 H x W x 3 each -> N x 3 x H x W in [-1, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 127.5 - 1


@pytest.fixture
def embedding(with_dlib):
    return Networks(NetworkChoice(), CPU).face_embedding(DLIB)


# ----------------------------------------------------------------------------------------------
# Without dlib


def faces_of(name: str) -> FaceEmbedding:
    return FaceEmbedding("a", name, 32, "0" * 64, lambda images: images[:, :2, 0, 0])


def test_comparisons_in_closed_form():
    a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 4.0], [torch.nan, 1.0]])
    distance = faces_of("id_dlib").compare(a, b)
    assert distance[0] == 5 and distance[1].isnan()
    cosine = faces_of("arcface").compare(a, torch.tensor([[1.0, 1.0], [-2.0, -2.0]]))
    torch.testing.assert_close(cosine, torch.tensor([0.5**0.5, -1.0]))


@pytest.mark.parametrize("name", ["id_dlib", "arcface"])
def test_the_mean_comparison_with_the_others(name):
    """More of them than are compared at once."""
    face = faces_of(name)
    every = torch.randn(70, 5, generator=torch.Generator().manual_seed(0)).double()
    table = torch.stack([face.compare(one, every) for one in every])
    expected = (table.sum(1) - table.diagonal()) / 69
    torch.testing.assert_close(face.with_others(every), expected)


def test_measure_says_that_no_pair_has_a_face(tmp_path, monkeypatch):
    face = FaceEmbedding("none", "id_dlib", 32, "0" * 64, lambda x: x[:, :1, 0, 0] * torch.nan)
    monkeypatch.setattr(Networks, "face_embedding", lambda *_: face)
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    with pytest.raises(UserError, match=r"^id_dlib: no face found in 1 of 1 pairs$"):
        main(["id_dlib", str(tmp_path), str(tmp_path)])


def test_without_dlib_there_is_a_line(tmp_path):
    with pytest.raises(UserError, match=r"^id_dlib: the weights of dlib_face are missing: pip"):
        main(["id_dlib", str(tmp_path), str(tmp_path)])
    with pytest.raises(NotAvailable, match=r"pip install 'dlib-bin>=20' 'face.*' for id_dlib"):
        _ = MetricNetworks(NetworkChoice(), CPU, dataset="celeba").face


# ----------------------------------------------------------------------------------------------
# With dlib


def test_an_embedding_is_dlib_s_own(embedding):
    import dlib

    network, landmarks = (str(weights.find(name, None)) for name in (DLIB, "dlib_landmarks5"))
    picture = data.astronaut()
    (box,) = dlib.get_frontal_face_detector()(picture, 0)
    theirs = dlib.face_recognition_model_v1(network).compute_face_descriptor(
        picture, dlib.shape_predictor(landmarks)(picture, box)
    )
    found = embedding(signed(np.zeros_like(picture), picture))
    np.testing.assert_allclose(found[1], np.array(theirs), atol=1e-6)
    assert found[0].isnan().all() and embedding.compare(found, found).isnan().tolist() == [
        True,
        False,
    ]


def test_the_side_of_a_face_is_that_of_dlib_s_square(embedding):
    """In pixels of the image: half as many in an image of half the size, which is searched enlarged."""
    import dlib

    picture = data.astronaut()
    (box,) = dlib.get_frontal_face_detector()(picture, 0)
    small = np.array(Image.fromarray(picture).resize((256, 256), Image.Resampling.BICUBIC))
    sides = embedding.sides(signed(np.zeros_like(picture), picture))
    assert sides[0].isnan() and sides[1] == box.width() == box.height()
    assert embedding.sides(signed(small)).item() == pytest.approx(box.width() / 2, rel=0.1)


def test_the_largest_of_two_faces_is_taken(embedding):
    picture = Image.fromarray(data.astronaut())
    both = Image.new("RGB", (1280, 768))
    both.paste(picture, (0, 0))
    both.paste(picture.resize((768, 768)), (512, 0))
    large, small = (embedding.sides(signed(np.array(both)[:, part])).item() for part in HALVES)
    assert small < 0.75 * large
    assert embedding.sides(signed(np.array(both))).item() == pytest.approx(large, rel=0.1)


def test_a_face_of_few_pixels_is_found_at_twice_the_size(embedding):
    picture = Image.new("RGB", (512, 512))
    picture.paste(Image.fromarray(data.astronaut()).resize((300, 300)), (0, 0))
    assert embedding.sides(signed(np.array(picture))).item() == pytest.approx(52, rel=0.1)


def test_a_small_picture_is_enlarged(embedding):
    """Its shorter side to 512 px, bicubic."""
    small = Image.fromarray(data.astronaut()).crop((130, 10, 320, 200)).resize((48, 64))
    enlarged = small.resize((512, 683), Image.Resampling.BICUBIC)
    expected = embedding(signed(np.array(enlarged)))
    torch.testing.assert_close(embedding(signed(np.array(small))), expected)


def test_one_person_is_near_at_every_size(embedding):
    """The astronaut against her picture in fewer pixels, which is enlarged for the detector."""
    whole = Image.fromarray(data.astronaut()).crop((150, 30, 300, 180))
    large = embedding(signed(np.array(whole)))
    for size, near in ((128, 0.1), (64, 0.3)):
        small = np.array(whole.resize((size, size), Image.Resampling.LANCZOS))
        assert embedding.compare(large, embedding(signed(small))).item() < near


def test_when_it_is_used(with_dlib):
    """On photographs; never on the portraits, nor among the stand-ins alone."""
    found = MetricNetworks(NetworkChoice(), CPU, dataset="celeba").face
    assert found.metric_name == "id_dlib" and found.is_distance
    for name in (DLIB, "dlib_landmarks5"):
        (file,) = weights.KNOWN[name].files
        assert file.sha256 in found.describe().values()
    assert (
        MetricNetworks(NetworkChoice(), CPU, dataset="portraits").face.metric_name == "id_portraits"
    )
    with pytest.raises(NotAvailable, match="run without --stand-ins"):
        _ = MetricNetworks(NetworkChoice(stand_ins=True), CPU, dataset="celeba").face


@pytest.mark.parametrize("name", [DLIB, "dlib_landmarks5"])
def test_other_files_are_refused(name, with_dlib, tmp_path):
    path = tmp_path / weights.KNOWN[name].files[0].filename
    path.write_bytes(b"other")
    with pytest.raises(UserError, match=f"{path.name}: its SHA-256 is"):
        Networks(NetworkChoice(weights_dir=tmp_path), CPU).face_embedding(DLIB)
    with pytest.raises(UserError, match=rf"{path.name}: not .*dlib"):
        Networks(
            NetworkChoice(weights_dir=tmp_path, allow_unknown_weights=True), CPU
        ).face_embedding(DLIB)
