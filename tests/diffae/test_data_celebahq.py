"""CelebA-HQ's folder as it is distributed, made of real photographs."""

import shutil

import numpy as np
import pytest
import torchvision.transforms as T
from data_files import edit_rows, refuses, replaced, write_rows
from PIL import Image
from refusal import refused_file
from sklearn.datasets import load_sample_images

from diffae.data import open_dataset

COUNT = 12
ATTRIBUTES = [f"Attribute_{i}" for i in range(40)]
SIGNS = np.random.default_rng(0).choice([-1, 1], (COUNT, 40))
ORIGINALS = [119613, 99094, 200121, 81059, 202040, 603, 48343, 5, 162000, 182638, 12, 33]
PARTITION = [0, 0, 2, 0, 2, 0, 0, 0, 0, 1, 0, 0]
IDENTITIES = [2880, 7, 7, 3, 9, 9, 9, 1, 1, 5, 6, 6]
IMAGES, ANNOTATION = "CelebA-HQ-img", "CelebAMask-HQ-attribute-anno.txt"
MAPPING, IDENTITY = "CelebA-HQ-to-CelebA-mapping.txt", "identity_CelebA.txt"
OFFICIAL = "list_eval_partition.txt"


def original_name(index):
    return f"{ORIGINALS[index] + 1:06d}.jpg"


def write_celebas_numbers(path, numbers, others):
    """Rows of the pictures that are in CelebA-HQ, between rows of pictures that are not."""
    rows = {original_name(index): number for index, number in enumerate(numbers)}
    rows |= {f"{index:06d}.jpg": others for index in (1, 2, 100000, 202599)}
    write_rows(path, [f"{name} {rows[name]}" for name in sorted(rows)])


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("hq") / "CelebAMask-HQ"
    (root / IMAGES).mkdir(parents=True)
    photo = Image.fromarray(load_sample_images().images[0])
    for index in range(COUNT):
        photo.crop((40 * index, 20, 40 * index + 96, 116)).save(root / IMAGES / f"{index}.jpg")
    rows = [f"{i}.jpg  " + " ".join(map("{:2d}".format, SIGNS[i])) for i in range(COUNT)]
    write_rows(root / ANNOTATION, [COUNT, " ".join(ATTRIBUTES), *rows])
    rows = [f"{i:<12d}{ORIGINALS[i]:<12d}{original_name(i)}" for i in range(COUNT)]
    write_rows(root / MAPPING, ["idx         orig_idx    orig_file", *rows])
    write_celebas_numbers(root / OFFICIAL, PARTITION, 0)
    write_celebas_numbers(root / IDENTITY, IDENTITIES, 10177)
    mask = root / "CelebAMask-HQ-mask-anno" / "0" / "00000_hair.png"
    mask.parent.mkdir(parents=True)
    photo.save(mask)
    return root


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "CelebAMask-HQ")


def test_labels_come_from_the_files_and_through_the_mapping(original):
    data = open_dataset(original, 64)
    assert len(data) == COUNT  # the masks are no images of the data set
    assert (data.transform.crop, data.name_of(10)) == ("center", f"{IMAGES}/10.jpg")
    image = Image.open(original / IMAGES / "10.jpg")
    np.testing.assert_array_equal(data.images([10])[0], np.asarray(T.Resize(64)(image)))
    assert data.attribute_names == tuple(ATTRIBUTES)
    np.testing.assert_array_equal(data.attributes, SIGNS == 1)
    np.testing.assert_array_equal(data.identities, IDENTITIES)
    np.testing.assert_array_equal(data.partition, PARTITION)
    assert (data.identities.dtype, data.partition.dtype) == (np.int64, np.int8)
    assert data.partition_source == f"{OFFICIAL} through {MAPPING}"


def test_without_celebas_partition_people_stay_together(folder):
    (folder / OFFICIAL).unlink()
    data = open_dataset(folder, 32, seed=4)
    assert data.partition_source == "seeded by identity 60/10/30, seed 4"
    for identity in set(IDENTITIES):
        assert len(set(data.partition[data.identities == identity])) == 1


@pytest.mark.parametrize("missing", [(MAPPING,), (OFFICIAL, IDENTITY)])
def test_a_split_by_image_says_what_it_cannot_know(folder, missing):
    for name in missing:
        (folder / name).unlink()
    data = open_dataset(folder, 32)
    assert data.identities is None
    np.testing.assert_array_equal(np.bincount(data.partition), [7, 1, 4])
    assert data.partition_source == (
        "seeded by image 60/10/30, seed 0; identities unknown, a person may be in several splits"
    )


def test_a_part_does_not_pass_for_celeba_hq(folder):
    """All 30,000 are in a test of LMDB files."""
    renamed = folder.rename(folder.parent / "celeba-hq")
    assert open_dataset(renamed, 32).name == "celeba-hq-subset"


def test_a_subset_needs_only_a_shorter_annotation(folder):
    rows = (folder / ANNOTATION).read_text().splitlines()
    write_rows(folder / ANNOTATION, [3, rows[1], rows[13], rows[4], rows[2]])
    data = open_dataset(folder, 32)
    np.testing.assert_array_equal(data.identities, [IDENTITIES[i] for i in (11, 2, 0)])
    np.testing.assert_array_equal(data.attributes, SIGNS[[11, 2, 0]] == 1)


def test_celebas_folder_stays_celebas(folder):
    """With CelebA-HQ's annotation copied beside its own."""
    (folder / IMAGES).rename(folder / "img_align_celeba")
    (folder / ANNOTATION).replace(folder / "list_attr_celeba.txt")
    shutil.copy(folder / "list_attr_celeba.txt", folder / ANNOTATION)
    (folder / OFFICIAL).unlink()
    (folder / IDENTITY).unlink()
    assert open_dataset(folder, 32).source.where(3).endswith("img_align_celeba/3.jpg")


def test_fingerprint_follows_every_file_that_labels(folder, original):
    fingerprint = open_dataset(original, 32).fingerprint
    assert open_dataset(folder, 64, seed=1).fingerprint == fingerprint
    for name in (MAPPING, OFFICIAL, IDENTITY, ANNOTATION):
        before = (folder / name).read_text()
        (folder / name).write_text(before + "\n")
        assert open_dataset(folder, 32).fingerprint != fingerprint
        (folder / name).write_text(before)


BROKEN = [
    (ANNOTATION, lambda rows: rows[:-1], "line 1 promises 12 images, but 11 rows follow"),
    (MAPPING, lambda rows: rows[:-2], "has no row for image 10 and 1 more"),
    (MAPPING, replaced(4, "1 5 000006.jpg"), "image 1 is listed 2 times"),
    (
        MAPPING,
        replaced(4, f"2 99094 {original_name(1)}"),
        f"CelebA's {original_name(1)} is listed 2 times",
    ),
    (MAPPING, replaced(4, "2 000006.jpg"), "line 4: expected idx, orig_idx and orig_file"),
    (MAPPING, replaced(4, "two 5 000006.jpg"), "line 4: expected idx, orig_idx and orig_file"),
    (OFFICIAL, lambda rows: rows[:4], f"has no row for {original_name(11)} and 9 more"),
    (OFFICIAL, replaced(2, "000002.jpg 7"), "line 2: '7' is not 0, 1, 2"),
    (IDENTITY, lambda rows: [], "has no row for"),
]


@pytest.mark.parametrize(("name", "change", "message"), BROKEN)
def test_broken_files_are_named(folder, name, change, message):
    edit_rows(folder / name, change)
    line = refused_file(lambda _: open_dataset(folder, 32), folder / name)
    assert line.startswith(f"{folder / name}: {message}")


def test_a_missing_annotation_is_asked_for(folder):
    (folder / ANNOTATION).unlink()
    refuses(folder, rf"{ANNOTATION}: no such file; .* give {IMAGES}", 32)
    assert len(open_dataset(folder / IMAGES, 32)) == COUNT
