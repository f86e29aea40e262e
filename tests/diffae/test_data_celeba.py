"""CelebA's layout, made of real photographs cut into 178 x 218 JPEG tiles."""

import re
import shutil

import numpy as np
import pytest
import skimage.data
import torch
import torchvision.transforms as T
from data_files import NO_FILES, edit_rows, put_in_place_of, refuses, replaced, write_rows
from PIL import Image
from refusal import refusal, refused_file
from sklearn.datasets import load_sample_images

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.data.readers import celeba, label_files

WIDTH, HEIGHT = 178, 218
ATTRIBUTES = [f"Attribute_{i}" for i in range(40)]
PARTITION = [0, 0, 1, 2, 2, 0, 0, 1, 2, 0]
IDENTITIES = [7, 7, 3, 3, 2880, 9, 9, 9, 1, 7]


def tiles():
    photos = [*load_sample_images().images, skimage.data.astronaut(), skimage.data.chelsea()]
    for photo in photos:
        height, width = photo.shape[:2]
        for left in range(0, width - WIDTH, WIDTH):
            yield Image.fromarray(photo[height - HEIGHT :, left : left + WIDTH])


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """Ten images with partition, identities and 40 random attributes (seed 0)."""
    root = tmp_path_factory.mktemp("celeba") / "faces"
    (root / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, 11)]
    for name, tile in zip(names, tiles(), strict=True):
        tile.save(root / "img_align_celeba" / name, quality=92)
    signs = np.random.default_rng(0).choice([-1, 1], (10, 40))
    rows = [f"{name} " + "  ".join(map(str, row)) for name, row in zip(names, signs, strict=True)]
    write_rows(root / "list_attr_celeba.txt", [10, " ".join(ATTRIBUTES) + " ", *rows])
    write_rows(root / "list_eval_partition.txt", map("{} {}".format, names, PARTITION))
    write_rows(root / "identity_CelebA.txt", map("{} {}".format, names, IDENTITIES))
    return root


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "faces")


def assert_same(data, expected):
    """The same images, attributes, identities and partition."""
    np.testing.assert_array_equal(data.images(range(10)), expected.images(range(10)))
    for field in ("attributes", "identities", "partition"):
        np.testing.assert_array_equal(getattr(data, field), getattr(expected, field))


def test_labels_and_split_are_those_of_the_files(original):
    data = open_dataset(original, 64)
    signs = np.random.default_rng(0).choice([-1, 1], (10, 40))
    assert data.attribute_names == tuple(ATTRIBUTES)
    assert data.attributes.dtype == bool
    np.testing.assert_array_equal(data.attributes, signs == 1)
    np.testing.assert_array_equal(data.identities, IDENTITIES)
    np.testing.assert_array_equal(data.partition, PARTITION)
    assert (data.identities.dtype, data.partition.dtype) == (np.int64, np.int8)
    assert (data.name, data.partition_source) == ("faces", "list_eval_partition.txt")
    np.testing.assert_array_equal(data.indices("valid"), [2, 7])
    np.testing.assert_array_equal(data.indices("all"), range(10))


def test_aligned_images_get_the_d2c_crop(original):
    data = open_dataset(original, 64)
    assert data.transform.describe()["crop"] == "d2c"
    for index in range(10):
        image = Image.open(original / "img_align_celeba" / f"{index + 1:06d}.jpg")
        expected = T.Resize(64)(image.crop((25, 57, 153, 185)))
        np.testing.assert_array_equal(data.images([index])[0], np.asarray(expected))


def test_batch_is_what_the_authors_transforms_give(original):
    data = open_dataset(original, 64, crop="center")
    authors = T.Compose(
        [T.Resize(64), T.CenterCrop(64), T.ToTensor(), T.Normalize((0.5,) * 3, (0.5,) * 3)]
    )
    order = [9, 0, 4]
    files = [original / "img_align_celeba" / f"{i + 1:06d}.jpg" for i in order]
    expected = torch.stack([authors(Image.open(file)) for file in files])
    batch = data.batch(np.array(order))
    assert batch.dtype == torch.float32 and batch.is_contiguous()
    torch.testing.assert_close(batch, expected, rtol=0, atol=1e-6)


def test_other_sizes_get_the_center_crop(folder):
    for path in (folder / "img_align_celeba").iterdir():
        Image.open(path).crop((0, 0, 100, 100)).save(path)
    assert open_dataset(folder, 32).transform.crop == "center"


def test_png_edition_and_windows_files(folder, original):
    for path in (folder / "img_align_celeba").iterdir():
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    for path in folder.glob("*.txt"):
        write_rows(path, path.read_text().replace(" ", "\t").splitlines(), newline="\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + b"\r\n")
    assert_same(open_dataset(folder, 64), open_dataset(original, 64))


def test_without_partition_people_stay_together(folder):
    (folder / "list_eval_partition.txt").unlink()
    data = open_dataset(folder, 64, seed=3)
    assert data.partition_source == "seeded by identity 60/10/30, seed 3"
    for identity in set(IDENTITIES):
        assert len(set(data.partition[data.identities == identity])) == 1


def extended(row):
    return lambda rows: [*rows, row]


ROW = "000011.jpg " + "1 " * 40
ATTR, SPLIT, WHO = LABEL_FILES = (
    "list_attr_celeba.txt", "list_eval_partition.txt", "identity_CelebA.txt"
)  # fmt: skip
HUGE = "9" * 5000
BROKEN_LABELS = [
    (ATTR, replaced(1, "11"), "line 1 promises 11 images, but 10 rows follow"),
    (ATTR, replaced(1, "many"), "expected a number"),
    (ATTR, replaced(1, HUGE), "line 1: 99999999999999999999... is too large"),
    (ATTR, lambda rows: [], "expected a number"),
    (ATTR, extended(ROW), "line 1 promises 10 images, but 11 rows follow"),
    (ATTR, replaced(5, ROW + "1"), "line 5: an image name and 41 values, not 40"),
    (ATTR, replaced(5, ""), "line 5: an image name and 0 values, not 40"),
    (ATTR, replaced(7, ROW.replace("1 ", "0 ")), "line 7: '0' is not -1, 1"),
    (ATTR, replaced(2, "Male " * 40), "attribute Male is listed 40 times"),
    (ATTR, replaced(2, "\x1b[2J " + " ".join(ATTRIBUTES[1:])), "line 2: .* cannot be printed"),
    (ATTR, replaced(4, "000001.jpg " + "1 " * 40), "image 000001.jpg is listed 2 times"),
    (SPLIT, lambda rows: rows[:7], "has no row for 000008.jpg and 2 more"),
    (SPLIT, extended("x.jpg 0"), "lists what list_attr_celeba.txt does not: x"),
    (SPLIT, replaced(3, "000003.jpg 3"), "line 3: '3' is not 0, 1, 2"),
    (SPLIT, extended("000001.jpg 1"), "image 000001.jpg is listed 2 times"),
    (WHO, replaced(2, "000002.jpg Bob"), "line 2: 'Bob' is not a number"),
    (WHO, replaced(2, f"000002.jpg {HUGE}"), "000002.jpg: 9999.* is too large"),
    (WHO, replaced(2, f"000002.jpg {2**63}"), "000002.jpg: 9223.* is too large"),
    (WHO, replaced(2, "000002.jpg"), "line 2: an image name and 0 values"),
    (WHO, lambda rows: [], "has no row for 000001.jpg and 9 more"),
]
BROKEN_CSV = [
    ("list_attr_celeba.csv", lambda rows: [], "expected a line image_id,ATTRIBUTE"),
    ("list_attr_celeba.csv", replaced(2, "000001.jpg,1"), "line 2: an image name and 1 values"),
    ("list_attr_celeba.csv", replaced(3, "000002.jpg" + ",0" * 40), "line 3: '0' is not -1, 1"),
    ("list_attr_celeba.csv", replaced(1, "image_id,A,"), "line 1: attribute '' cannot be printed"),
    ("list_eval_partition.csv", replaced(3, "000002.jpg,3"), "line 3: '3' is not 0, 1, 2"),
    ("list_eval_partition.csv", lambda rows: rows[:-1], "has no row for 000010.jpg"),
]


@pytest.mark.parametrize(("name", "change", "message"), [*BROKEN_LABELS, *BROKEN_CSV])
def test_broken_label_files_are_refused(request, name, change, message):
    folder = request.getfixturevalue("kaggle" if name.endswith(".csv") else "folder")
    edit_rows(folder / name, change)
    line = refused_file(lambda _: open_dataset(folder, 64), folder / name)
    assert re.match(f"{folder / name}: {message}", line)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("../000001.jpg ", r"1 of 10 listed images missing, first \.\./000001\.jpg"),
        ("000002.png ", r"list_attr_celeba\.txt: the image file 000002\.jpg is listed 2 times"),
    ],
)
def test_names_that_lead_to_no_image_of_their_own_are_refused(folder, first, message):
    (folder / SPLIT).unlink()
    (folder / WHO).unlink()
    edit_rows(folder / ATTR, replaced(3, first + "1 " * 40))
    refuses(folder, message, 64)


def test_images_missing_on_disk_are_counted(folder):
    for number in (4, 6):
        (folder / "img_align_celeba" / f"{number:06d}.jpg").unlink()
    refuses(folder, r"2 of 10 listed images missing, first 000004\.jpg", 64)


def test_of_two_files_for_a_listed_name_the_exact_one_is_taken(folder):
    images = folder / "img_align_celeba"
    Image.new("RGB", (WIDTH, HEIGHT)).save(images / "000001.png")
    assert open_dataset(folder, 64).images([0]).max() > 0


# ----------------------------------------------------------------------------------------------
# Kaggle's archive, and CelebA's images without their labels


def as_csv(path, header):
    """Replace a label file by its CSV form."""
    rows = [",".join(row.split()) for row in path.read_text().splitlines()]
    rows = rows[2:] if header is None else rows
    head = "image_id," + ",".join(ATTRIBUTES) if header is None else header
    write_rows(path.with_suffix(".csv"), [head, *rows], newline="\r\n")
    path.unlink()


@pytest.fixture
def kaggle(folder):
    """As `kaggle datasets download jessicali9530/celeba-dataset` unpacks."""
    as_csv(folder / "list_attr_celeba.txt", None)
    as_csv(folder / "list_eval_partition.txt", "image_id,partition")
    (folder / "img_align_celeba").rename(folder / "nested")
    (folder / "img_align_celeba").mkdir()
    (folder / "nested").rename(folder / "img_align_celeba" / "img_align_celeba")
    return folder


def test_kaggles_archive_is_celeba(kaggle, original):
    before, after = open_dataset(original, 64), open_dataset(kaggle, 64)
    assert_same(after, before)
    assert after.transform == before.transform and after.transform.crop == "d2c"
    assert after.attribute_names == before.attribute_names
    assert after.partition_source == "list_eval_partition.csv"


def test_kaggles_files_are_part_of_the_fingerprint(kaggle):
    before = open_dataset(kaggle, 64).fingerprint
    partition = kaggle / "list_eval_partition.csv"
    partition.write_text(partition.read_text().replace("000002.jpg,0", "000002.jpg,2"))
    assert open_dataset(kaggle, 64).fingerprint != before


def test_both_forms_of_one_file_contradict_each_other(kaggle, original):
    shutil.copy(original / "list_attr_celeba.txt", kaggle)
    refuses(kaggle, r"list_attr_celeba\.txt and list_attr_celeba\.csv; take one", 64)


@pytest.mark.parametrize("packed", [False, True])
def test_celebas_images_without_labels_are_not_cut_in_silence(folder, tmp_path, packed, capsys):
    (folder / "list_attr_celeba.txt").unlink()
    Image.new("RGB", (64, 64)).save(folder / "img_align_celeba" / "000000.png")
    path = shutil.make_archive(tmp_path / "faces", "zip", folder) if packed else folder
    line = refusal(main, capsys, "check", path)
    assert f"{path}: images of 178 x 218, as CelebA's, without attributes" in line
    assert "give the folder with list_attr_celeba.txt" in line and "--crop d2c" in line
    for crop in ("center", "d2c"):
        assert open_dataset(path, 64, crop).transform.crop == crop


@pytest.mark.parametrize("name", LABEL_FILES)
@pytest.mark.parametrize("kind", NO_FILES)
def test_a_label_file_that_is_no_file_is_refused_by_name(folder, capsys, name, kind):
    """It was taken for missing, and a split of our own took its place."""
    put_in_place_of(folder / name, kind)
    assert str(folder / name) in refusal(main, capsys, "check", folder)


def test_only_all_of_celeba_is_called_celeba():
    split = (np.zeros(202_599, np.int8), "")
    whole = ("celeba", celeba.CELEBA_IMAGES)
    labels = label_files.CelebaLabels(["a.jpg"] * 202_599, (), {}, split, whole)
    assert labels.title("faces") == "celeba"
    subset = labels._replace(names=["a.jpg"])
    assert [subset.title(folder) for folder in ("faces", "celeba")] == ["faces", "celeba-subset"]
