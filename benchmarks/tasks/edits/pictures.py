"""Pictures of edits: which other attributes they move, and portraits beside their truth."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from benchmarks.metrics.edits import EditSums, beyond_truth, number_of
from benchmarks.plugin import Arrays, Place
from benchmarks.tasks.edits.decoded import PLANE, PREVIEW, SIDES
from benchmarks.tasks.edits.directions import MEANS, ORACLE
from benchmarks.tasks.edits.strengths import Edited
from diffae.system.files import file_name

SHEETS = 4  # attributes of which portraits are shown
FACTOR = 2  # of differences
BLOCK, FULL = 16, 1.0  # pixels of a number; the number of full colour
UP, DOWN, NONE = (0.40, -0.81, -0.66), (-0.74, -0.20, 0.35), (0.45, 0.45, 0.45)  # in [-1, 1]
WORST = 5  # pairs of attributes in the caption
Sides = list[Edited]  # the edits of an attribute, added and removed


def draw(place: Place, names: list[str], edited: Sequence[Edited]) -> None:
    """Draw portraits of the first of attributes `names`, and of each direction what else it moves."""
    made = defaultdict[str, dict[str, Sides]](dict)
    moved = defaultdict[str, dict[str, list[np.ndarray]]](dict)
    for edit in edited:
        direction, name = edit.direction, edit.change.pairs.attribute
        made[name].setdefault(direction, []).append(edit)
        pairs = edit.change.edited_pairs(edit.sums)
        if direction != ORACLE and not pairs.unheld:
            moved[direction].setdefault(name, []).append(beyond_truth(pairs.sums))
    for number, direction in enumerate(moved, 2):  # after the first portraits
        leakage(place, f"{number:02}-{direction}", direction, moved[direction], names)
    for k, name in enumerate(name for name in names[:SHEETS] if name in made):
        portraits(place.at(setting=name), f"{1 + k + len(moved) * (k > 0):02}-{name}", made[name])


def leakage(
    place: Place, file: str, direction: str, moved: Mapping[str, list[np.ndarray]], names: list[str]
) -> None:
    """Draw L - dose T of the edits of attributes `names`, a row each, over all attributes: the mean of the
    sides [A] that were `moved`.
    """
    attributes = place.context.dataset.attribute_names
    rest = [name for name in attributes if name not in names]
    shown = [*names, *rest]
    nothing = np.full(len(attributes), np.nan)
    sides = [np.stack([*moved.get(name, ()), nothing]) for name in names]
    with np.errstate(invalid="ignore"):
        means = [np.nansum(moves, 0) / np.isfinite(moves).sum(0) for moves in sides]
    rows = np.stack(means)[:, [attributes.index(name) for name in shown]]
    sizes = np.nan_to_num(np.abs(rows))
    ends = np.where(rows[..., None] > 0, UP, DOWN) - 1
    blocks = 1 + np.minimum(sizes / FULL, 1)[..., None] * ends
    blocks[np.isnan(rows)] = NONE

    def text(row: int, column: int) -> str:
        return f"{shown[column]} {rows[row, column]:+.2f}"

    worst = [divmod(int(i), len(attributes)) for i in np.argsort(-sizes, axis=None)[:WORST]]
    furthest = ", ".join(f"{names[k]} moves {text(k, j)}" for k, j in worst if sizes[k, j])
    columns = ", then ".join(filter(None, ["as the rows", ", ".join(rest)]))
    place.draw(
        f"edits-{{}}-{file_name(file)}",
        f"what else an edit moves, {direction}",
        list(torch.from_numpy(blocks).permute(0, 2, 1)[:, None, :, None]),
        rows=names,
        notes=[[text(k, int(s.argmax())) if s.any() else "unknown"] for k, s in enumerate(sizes)],
        shown=BLOCK * len(attributes),
        caption=f"Furthest: {furthest or 'none'}. In standard deviations of the logits of an image classifier, beyond "
        "what the truth of the same dose moves. Red: up with the attribute, blue: down, full from "
        f"{FULL:g}; white: 0; grey: left out. Under a row its largest. Columns: {columns}.",
    )


def portraits(place: Place, file: str, made: Mapping[str, Sides]) -> None:
    """Draw the first portraits of an attribute, added and removed in turn, with what their edits `made`."""
    changes = [edit.change for edit in made[ORACLE]]
    counts = [len(edit.sums[PREVIEW]) for edit in made[ORACLE]]
    places = sorted((i, side) for side, count in enumerate(counts) for i in range(count))

    def decoded(direction: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([made[direction][k].sums[PREVIEW][i] for i, k in places]))

    rows = {
        "input": torch.cat([changes[k].images.batch(np.array([i])) for i, k in places]),
        "drawn truth": torch.cat([changes[k].pairs.after(np.array([i])) for i, k in places]),
        "decoded truth": decoded(ORACLE),
    }
    notes = [[""] * len(places)] * len(rows)
    for name in sorted(made.keys() - {ORACLE}, key=lambda name: (name != MEANS, name)):
        rows[f"edit: {name}"] = decoded(name)
        less = FACTOR * (decoded(name) - rows["decoded truth"])
        rows[f"{name}, less the truth"] = less.clamp(-1, 1)
        notes += [[_of_pair(made[name][k].sums, i) for i, k in places], notes[0]]
    place.draw(
        f"edits-{{}}-{file_name(file)}",
        f"{place.setting} added and removed",
        [*rows.values()],
        rows=[*rows],
        columns=[f"{place.setting} {SIDES[changes[k].pairs.on]}" for _, k in places],
        notes=notes,
        caption="The image; the same drawn with the change; that decoded; and of each direction the edit, "
        f"and its difference from the decoded truth, {FACTOR} times: grey where equal.",
    )


def _of_pair(sums: Arrays, position: int) -> str:
    """The dose and the off-target share of one pair."""
    pair = EditSums.from_arrays(sums).at(slice(position, position + 1))
    texts = list[str]()
    for metric in PLANE:
        value = number_of(metric, pair)
        number = "undefined" if np.isnan(value) else f"{value:.2f}"
        texts.append(f"{metric.replace('_', ' ')} {number}")
    return ", ".join(texts)
