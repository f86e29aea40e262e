"""LFW with its attributes."""

import numpy as np
import pytest
from PIL import Image
from refusal import refusal

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.data.dataset import TEST, TRAIN

PEOPLE = {"Aaron_Eckhart": 1, "Aaron_Sorkin": 2, "Ann_Lee": 3}
NAMES = ["Male", "Asian", "Arched Eyebrows"]


@pytest.fixture
def lfw(tmp_path):
    """Six images, of which the last has no row; names have blanks in the table and none on disk."""
    rng, rows = np.random.default_rng(0), []
    for person, count in PEOPLE.items():
        folder = tmp_path / "lfw_funneled" / person
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            pixels = rng.integers(0, 255, (250, 250, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{person}_{number:04d}.jpg")
            rows.append([person.replace("_", " "), number, *rng.normal(size=3).round(6).tolist()])
    head = ["# lfw_attributes.txt: attribute values", "#\tperson\timagenum\t" + "\t".join(NAMES)]
    body = ["\t".join(map(str, row)) for row in reversed(rows[:-1])]
    (tmp_path / "lfw_attributes.txt").write_text("\n".join(head + body) + "\n")
    return tmp_path, np.array([row[2:] for row in rows[:-1]])


def test_lfw(lfw):
    folder, values = lfw
    data = open_dataset(folder, 64)
    found = data.factors(range(len(data)))
    assert len(data) == 5 and found.names == tuple(NAMES) and found.kinds == ("real",) * 3
    assert np.allclose(found.values, values)
    assert data.name_of(0).endswith("Aaron_Eckhart/Aaron_Eckhart_0001.jpg")
    assert [len({*data.identities[some]}) for some in ([0], [1, 2], [3, 4], [0, 1, 3])] == [
        1,
        1,
        1,
        3,
    ]
    assert "images that lfw_attributes.txt does not list: 1" in data.left_out


def test_its_split_of_people(lfw):
    folder, _ = lfw
    (folder / "peopleDevTrain.txt").write_text("2\nAaron_Eckhart\t1\nAnn_Lee\t3\n")
    (folder / "peopleDevTest.txt").write_text("1\nAaron_Sorkin\t2\n")
    data = open_dataset(folder, 64)
    assert data.partition.tolist() == [TRAIN, TEST, TEST, TRAIN, TRAIN]


def test_refusals(lfw, capsys):
    folder, _ = lfw
    (folder / "peopleDevTrain.txt").write_text("1\nAnn_Lee\t3\n")
    line = refusal(main, capsys, "check", folder)
    assert "lfw_attributes.txt: Aaron_Sorkin is in none of peopleDevTrain.txt" in line
    table = folder / "lfw_attributes.txt"
    table.write_text(table.read_text().replace("imagenum", "number"))
    assert "lfw_attributes.txt: expected a line with #, person, imagenum" in refusal(
        main, capsys, "check", folder
    )
