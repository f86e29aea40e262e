"""Folders in the layouts of ImageNet and COCO: classes, splits and names."""

import shutil

import numpy as np
import pytest
import torchvision
from data_files import put_in_place_of, refuses, write_rows
from PIL import Image

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.data.partition import TEST
from diffae.data.readers.classes import name_of_test
from diffae.data.transforms import decode

CLASSES = ("n01440764", "n01443537", "n15075141")
PER_CLASS = 7  # training images
FLAT = {f"ILSVRC2012_val_{i:08d}": CLASSES[i % 3] for i in range(1, 7)}


def write(path, colour=(10, 200, 30), size=(20, 16), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def imagenet(tmp_path):
    """train/CLASS/*.JPEG and val/CLASS/*.JPEG."""
    root = tmp_path / "imagenet"
    for number, label in enumerate(CLASSES):
        for index in range(PER_CLASS):
            write(root / "train" / label / f"{label}_{index}.JPEG", (50 * number, 9 * index, 0))
    for stem, label in FLAT.items():
        write(root / "val" / label / f"{stem}.JPEG")
    return root


def flatten(root):
    """val/*.JPEG without class folders, and Kaggle's list of their classes."""
    for stem, label in FLAT.items():
        (root / "val" / label / f"{stem}.JPEG").rename(root / "val" / f"{stem}.JPEG")
    for label in CLASSES:
        (root / "val" / label).rmdir()
    rows = [f"{stem},{label} 85 1 499 272 {label} 1 2 3 4 " for stem, label in FLAT.items()]
    write_rows(root / "LOC_val_solution.csv", ["ImageId,PredictionString", *sorted(rows)])


def class_of_each(data):
    labels = data.labels(np.arange(len(data)))
    assert (labels.sum(axis=1) == 1).all()
    return {
        data.name_of(i).split("/")[-1]: data.attribute_names[labels[i].argmax()]
        for i in range(len(data))
    }


def test_train_has_the_classes_of_torchvisions_image_folder(imagenet):
    """Of images deeper in a class folder too."""
    write(imagenet / "train" / CLASSES[1] / "more" / "a.JPEG")
    data = open_dataset(imagenet, 16)
    theirs = torchvision.datasets.ImageFolder(imagenet / "train")
    assert list(data.attribute_names) == theirs.classes
    train = data.indices("train").tolist() + data.indices("valid").tolist()
    assert {data.source.where(i): data.classes[i] for i in train} == dict(theirs.samples)


def test_val_is_the_test_split_and_every_tenth_of_train_is_valid(imagenet):
    data = open_dataset(imagenet, 16)
    assert len(data.indices("test")) == len(FLAT)
    assert {data.name_of(i).split("/")[0] for i in data.indices("test")} == {"val"}
    valid = [data.name_of(i) for i in data.indices("valid")]
    assert valid == ["train/n01443537/n01443537_2.JPEG", "train/n15075141/n15075141_5.JPEG"]
    assert data.partition_source == (
        "splits of the files, validation as test, every tenth image of train as valid"
    )
    assert data.name == "folder imagenet"


@pytest.mark.parametrize("layout", ["flat", "kaggle"])
def test_a_flat_val_has_the_classes_of_kaggles_list(imagenet, layout, tmp_path):
    expected = class_of_each(open_dataset(imagenet, 16))
    flatten(imagenet)
    path = imagenet
    if layout != "flat":
        archive = tmp_path / "archive"
        path = archive / "ILSVRC" / "Data" / "CLS-LOC"
        shutil.copytree(imagenet, path)
        (path / "LOC_val_solution.csv").rename(archive / "LOC_val_solution.csv")
        write(path / "test" / "ILSVRC2012_test_00000001.JPEG")
        path = archive
    data = open_dataset(path, 16)
    assert class_of_each(data) == expected
    assert data.source.label_files[0].name == "LOC_val_solution.csv"
    assert data.left_out == (("1 test images without a class",) if layout != "flat" else ())
    assert len(data.indices("test")) == len(FLAT)


def test_a_damaged_list_and_another_file_of_that_name_are_refused(imagenet):
    rows = ["ImageId,PredictionString", "a,n01 1", "ILSVRC2012_val_00000001, "]
    write_rows(imagenet / "LOC_val_solution.csv", rows)
    refuses(imagenet, r"LOC_val_solution\.csv: line 3: expected an image and its class")
    write_rows(imagenet / "LOC_val_solution.csv", ["id,label", "a,n01"])
    refuses(imagenet, r"LOC_val_solution\.csv: expected a line ImageId,PredictionString, then rows")
    put_in_place_of(imagenet / "LOC_val_solution.csv", "a link to nothing")
    refuses(imagenet, r"LOC_val_solution\.csv: ")


def test_images_without_a_class_leave_all_without(imagenet):
    flatten(imagenet)
    (imagenet / "LOC_val_solution.csv").unlink()
    data = open_dataset(imagenet, 16)
    assert not data.labelled and len(data.indices("test")) == len(FLAT)
    assert data.left_out == ("the classes: 6 of 27 images have none",)
    for index in range(30):
        write(imagenet / "train" / f"{index}.JPEG")
    data = open_dataset(imagenet, 16)
    assert not data.labelled and data.left_out == ("the classes: 36 of 57 images have none",)


def test_a_class_that_train_lacks_leaves_all_without(imagenet):
    """An empty folder counts as none."""
    for path in (imagenet / "train" / CLASSES[1]).iterdir():
        path.unlink()
    data = open_dataset(imagenet, 16)
    assert not data.labelled
    assert data.left_out == ("the classes: train has no image of n01443537",)


def test_val_alone_is_all_test(imagenet):
    shutil.rmtree(imagenet / "train")
    data = open_dataset(imagenet, 16)
    assert data.indices("test").tolist() == list(range(6)) and data.attribute_names == CLASSES
    alone = open_dataset(imagenet / "val", 16)
    assert (alone.partition == TEST).all() and not alone.labelled
    assert alone.partition_source == "all images as test, by their folder"


def test_a_copy_keeps_the_classes(imagenet, tmp_path):
    main(["prepare", str(imagenet), str(tmp_path / "copy"), "--size", "16", "--workers", "1"])
    data, copy = open_dataset(imagenet, 16), open_dataset(tmp_path / "copy", 16)
    np.testing.assert_array_equal(copy.labels(range(len(copy))), data.labels(range(len(data))))
    assert (copy.attributes, copy.attribute_names) == (None, data.attribute_names)


def test_check_does_not_list_many_classes(tmp_path, capsys):
    for number in range(41):
        for index in range(1 + (number > 0) + (number == 7)):
            write(
                tmp_path / "many" / "train" / f"c{number:02}" / f"{index}.png", (number, index, 0)
            )
        write(tmp_path / "many" / "val" / f"c{number:02}" / "0.png")
    main(["check", str(tmp_path / "many"), "--size", "8"])
    line = "attributes   41, c00 to c40; 2 images of c00 to 4 of c07\n"
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("year", [2014, 2017])
def test_cocos_folders_are_splits(tmp_path, year):
    root = tmp_path / "coco"
    for index in range(12):
        write(root / f"train{year}" / f"{index:012}.jpg")
    for index in (139, 285):
        write(root / f"val{year}" / f"{index:012}.jpg")
    data = open_dataset(root, 16)
    assert [len(data.indices(split)) for split in ("train", "valid", "test")] == [11, 1, 2]
    assert {data.name_of(i).split("/")[0] for i in data.indices("test")} == {f"val{year}"}
    assert not data.labelled and data.name == "folder coco"
    val = open_dataset(root / f"val{year}", 16)
    assert (val.partition == TEST).all() and val.name == f"val{year}"


def test_complete_sets_have_their_name_and_no_other_folder_has_it():
    imagenet = [f"val/n0/ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 50_001)]
    assert name_of_test(imagenet, "data") == "imagenet-val"
    assert name_of_test(imagenet[1:], "data") == "data"
    assert name_of_test(imagenet[1:], "imagenet-val") == "imagenet-val-subset"
    coco = [f"{i:012}.jpg" for i in range(5_000)]
    assert name_of_test(coco, "val2017") == "coco-val2017"
    assert name_of_test([*coco[1:], "cat.jpg"], "val2017") == "val2017"


def test_a_jpeg_of_imagenet_may_be_a_png_or_cmyk(tmp_path):
    """As n02105855_2933.JPEG, a PNG, and 22 files in CMYK are."""
    write(tmp_path / "a.JPEG", (10, 200, 30), format="PNG")
    assert np.asarray(decode(tmp_path / "a.JPEG"))[0, 0].tolist() == [10, 200, 30]
    cmyk = Image.new("RGB", (16, 16), (10, 200, 30)).convert("CMYK")
    cmyk.save(tmp_path / "b.JPEG", quality=95, subsampling=0)
    theirs = Image.open(tmp_path / "b.JPEG").convert("RGB")
    np.testing.assert_array_equal(np.asarray(decode(tmp_path / "b.JPEG")), np.asarray(theirs))
    assert abs(np.asarray(theirs).astype(int) - [10, 200, 30]).max() <= 3
