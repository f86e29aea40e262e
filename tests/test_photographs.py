"""The scripts of docs/results/photographs, on small sets."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from doc_scripts import script

from reports.records.run_folder import read_run

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "photographs"
LEGEND = """user.id,image,emotion
1,Ada_B_0001.jpg,ANGER
1,Ada_B_0002.jpg,happiness
2,Ada_B_0002.jpg,Happiness
1,Charles_1.jpg,fear
2,Charles_1.jpg,anger
1,facial-expressions_28.jpg,fear
1,Missing_0001.jpg,fear
"""


def test_other_libraries_give_our_numbers_of_the_same_images(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER.parent)
    check = script(FOLDER / "check.py")
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 24, 40), generator=draw, dtype=torch.uint8)
    compared = [each for each in check.OF_IMAGES if each.ours and each.package != "lpips"]
    assert len(compared) == 5
    for each in compared:
        theirs, ours = (score(images, images // 2 + 30) for score in (each.theirs, each.ours))
        assert theirs == pytest.approx(ours, abs=1e-5), (each.metric, each.package)


def test_a_folder_of_faces_has_one_emotion_and_the_person_of_each_image(monkeypatch, tmp_path):
    clone, out = tmp_path / "clone", tmp_path / "faces"
    for folder in ("data", "images"):
        (clone / folder).mkdir(parents=True)
    (clone / "data" / "legend.csv").write_text(LEGEND)
    for line in LEGEND.splitlines()[1:-1]:
        (clone / "images" / line.split(",")[1]).write_bytes(b"an image")
    monkeypatch.setattr(sys, "argv", ["faces.py", str(clone), str(out)])
    script(FOLDER / "faces.py").main()
    rows = [tuple(row.values()) for row in csv.DictReader((out / "labels.csv").open())]
    ada = [("Ada_B_0001.jpg", "anger", "Ada_B"), ("Ada_B_0002.jpg", "happiness", "Ada_B")]
    assert rows == ada
    assert {path.name for path in out.iterdir()} == {"labels.csv", *(row[0] for row in ada)}


def test_a_claim_holds_if_its_first_number_is_clearly_better(monkeypatch):
    """As docs/models.md says of the packaged models; and the other way round if the numbers change places."""
    monkeypatch.syspath_prepend(FOLDER.parent)
    claims = script(FOLDER / "claims.py")
    numbers = claims.Numbers(read_run(FOLDER.parents[2] / "benchmarks" / "baseline"))
    held = {title: claims.cell(claim, numbers)[1] for title, claim in claims.CLAIMS.items()}
    standings = list(held.values())
    assert standings[0] == "4 yes, 0 undecided, 0 no"
    assert standings[1:7] == ["no", "yes", "undecided", "yes", "yes", "undecided"]
    better, worse = numbers.auroc("DiffAE"), numbers.auroc("pixels + PCA")
    assert (claims.standing((better, worse)), claims.standing((worse, better))) == ("yes", "no")
