"""Make a data folder of faces with labels and persons from a clone of muxspace/facial_expressions.

    git clone https://github.com/muxspace/facial_expressions
    python docs/results/photographs/faces.py facial_expressions faces [--limit 300]

`faces/labels.csv` gives the emotion and the person of each image that legend.csv lists; the images are
links to those of the clone. Emotions are written in lower case, because the legend has both `ANGER` and
`anger`. The person is the name of the file without its number (`AJ_Cook_0001.jpg`). The four files
without a person's name are left out, and so is an image that the legend lists with two emotions.
"""

import argparse
import csv
import re
from pathlib import Path

PERSON = re.compile(r"(?!facial-expressions_)(.+)_\d+\.jpg")


def rows_of(clone: Path) -> list[dict[str, str]]:
    """The rows of the table of labels, in the order of the images' names."""
    emotions: dict[str, set[str]] = {}
    with (clone / "data" / "legend.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            emotions.setdefault(row["image"], set()).add(row["emotion"].strip().lower())
    rows = []
    for image in sorted(emotions):
        name = PERSON.fullmatch(image)
        if name and len(emotions[image]) == 1 and (clone / "images" / image).is_file():
            rows.append({"file": image, "emotion": min(emotions[image]), "person": name[1]})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clone", type=Path, help="the clone of muxspace/facial_expressions")
    parser.add_argument("out", type=Path, help="the new folder")
    parser.add_argument("--limit", type=int, help="only so many images, evenly over the list")
    given = parser.parse_args()
    rows = rows_of(given.clone)
    rows = rows[:: max(1, len(rows) // given.limit)][: given.limit] if given.limit else rows
    given.out.mkdir(parents=True)
    for row in rows:
        source = given.clone / "images" / row["file"]
        (given.out / row["file"]).symlink_to(source.resolve())
    with (given.out / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, ["file", "emotion", "person"])
        table.writeheader()
        table.writerows(rows)
    print(f"{given.out}: {len(rows)} images of {len({row['person'] for row in rows})} persons")


if __name__ == "__main__":
    main()
