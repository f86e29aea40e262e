"""Every picture that a run writes: which image, which move and which settings each cell shows.

A run of all benchmarks by systems whose decodes tell the code that they were decoded from
(`painted`). Each cell of each sheet is read from the PNG and compared with what its place and its
captions promise; of a sheet that is not named in `EXPECTED`, the inputs.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import reference_metrics
import torch
from metric_weights import write_onnx
from painted import (
    COUNT,
    MAP,
    NUMBERS,
    PLACES,
    SIDE,
    TRAIN,
    VALID,
    VECTOR,
    Cells,
    Painted,
    Plain,
    Tokens,
    attributes_of,
    cells_of,
    code_of,
    drawn,
    image_of,
    in_range,
    paint,
    person_of,
    stochastic,
    told,
    write_images,
)
from people import ATTRIBUTES
from PIL import Image

from benchmarks import evaluate
from reports import page

SEED = 3
# Every T is another, so that a cell tells whose it is.
STEPS = {
    "reconstruction": 3,
    "identity": 7,
    "interpolation": 8,
    "latent": 9,
    "variation": 10,
    "fewshot": 6,
    "samples": 5,
}
STRENGTHS, TIMES, BITS, NOISE, DRAWS = (0.15, 0.4), (100, 250), (2, 4), (0.1, 1.0), 3
KEPT = 70  # images, more than a chunk of the store
SETTINGS = {
    **{f"{name}.steps": T for name, T in STEPS.items()},
    "reconstruction.steps": (2, STEPS["reconstruction"]),
    "samples.steps": (4, STEPS["samples"]),
    "samples.count": 20,
    "unconditional.overlap": 3,
    "reconstruction.images": KEPT,
    "variation.images": 3,
    "variation.draws": DRAWS,
    "identity.strengths": STRENGTHS,
    "denoising.timesteps": TIMES,
    "latent.bits": BITS,
    "latent.noise": NOISE,
    "latent.training": 144,
    "memorisation.train": 144,
    "probes.train": 144,
    "fewshot.pool": 40,
    "fewshot.samples": 8,
    "fewshot.seeds": 1,
    "fewshot.binary_k": 30,
    "fewshot.pu_positives": 40,
    "fewshot.pu_unlabeled": 60,
}
TRAINING = [number for number in range(COUNT) if person_of(number) < TRAIN]
TEST = {number for number in range(COUNT) if person_of(number) >= VALID}
WIDTH = {"painted": NUMBERS, "plain": VECTOR, "tokens": 6}


# ----------------------------------------------------------------------------------------------
# The run


@pytest.fixture(scope="module")
def run(tmp_path_factory, no_effnet) -> Path:
    """The folder of a run of all benchmarks, with every image kept, without its page."""
    root = tmp_path_factory.mktemp("pictures")
    data = write_images(root / "data")
    (root / "weights").mkdir()
    write_onnx(root / "weights" / "w600k_r50.onnx")  # of the faces
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "write", lambda *_: None)
        evaluate(
            [Painted(), Plain(), Tokens()],
            "all",
            data=data,
            profile="smoke",
            out=root / "run",
            settings=SETTINGS,
            seed=SEED,
            weights_dir=root / "weights",
            allow_unknown_weights=True,
            save_images=True,
            cache=False,
            progress=False,
        )
    return root / "run"


@dataclass(frozen=True)
class Sheets:
    """The sheets of the run, by the name of their file."""

    cells: dict[str, Cells]

    @cached_property
    def order(self) -> list[int]:
        """The test images of the run in its order, as far as pictures show it."""
        first = [number_of(cell) for cell in self.cells["reconstruction-painted"].images[0]]
        varied = self.cells["variation-painted-z_sem"].images
        more = [number_told(cell) for row in varied for cell in row[1 : DRAWS + 1]][len(first) :]
        return first + more


@pytest.fixture(scope="module")
def sheets(run) -> Sheets:
    return Sheets({path.stem: cells_of(path) for path in (run / "pictures").glob("*")})


def number_of(cell) -> int:
    """The number of an input, which must be that image in all of its pixels."""
    number = int(cell[0, 0, 0])
    assert np.array_equal(cell, image_of(number))
    return number


def number_told(cell) -> int:
    """The number of the image or sample whose code was decoded by `Painted`."""
    semantic, _, _ = told(cell)
    return round(10 * (semantic[0] - SEED / 16) if semantic[0] % 0.1 > 1e-3 else 10 * semantic[0])


def code(system: str, number: int) -> np.ndarray:
    """The numbers of the semantic code of an image, by one of the systems."""
    if system == "tokens":
        return image_of(number).reshape(-1, 3)[:2].T.reshape(-1).astype(float) % 50
    return code_of(number)[: WIDTH[system]]


def of_sample(system: str, index: int, steps: int) -> np.ndarray:
    """The semantic code of a sample."""
    found = code(system, index)
    found[:VECTOR] += SEED / 16
    if system == "painted":
        found[0] += steps / 64
    return found


def inverted(number: int, benchmark: str) -> torch.Tensor:
    """The x_T of an image, by the T of a benchmark."""
    return stochastic(in_range(image_of(number)[None]), STEPS[benchmark])


def random_x_T(number: int) -> torch.Tensor:
    return drawn([number], SEED)


def shows(
    system: str, cell, semantic: np.ndarray, x_T: torch.Tensor | None = None, other: float = 0.0
) -> None:
    """Check that a cell is what the system decodes from a code; `other` as for `Painted`."""
    numbers = torch.tensor(semantic, dtype=torch.float32)[None]
    if system == "plain":
        x_T, other = numbers[:, :3, None, None].expand(-1, 3, SIDE, SIDE) / 4, 0.0
    elif system == "tokens":
        x_T, other = numbers[:, :3, None, None].expand(-1, 3, SIDE, SIDE) / 25 - 1, 0.0
    found = told(cell, len(semantic))
    assert x_T is not None
    np.testing.assert_allclose(found.semantic, semantic, atol=5e-5)
    places = [float(x_T[(0, *place)]) for place in PLACES]
    np.testing.assert_allclose(found.x_T, places, atol=5e-5)
    assert found.other == pytest.approx(other, abs=5e-5)
    whole = levels(paint(numbers, x_T, other)[0].permute(1, 2, 0).numpy())
    rest = len(semantic) + len(PLACES) + 1
    assert np.abs(whole.reshape(-1, 3) - cell.reshape(-1, 3))[rest:].max() <= 1


def levels(unit: np.ndarray) -> np.ndarray:
    """Numbers in [-1, 1] as levels of 8 bits, not rounded."""
    return (np.clip(unit, -1, 1) + 1) * 127.5


# ----------------------------------------------------------------------------------------------
# What each sheet shows, by the name of its file


def reconstruction(sheets: Sheets, found: Cells, system: str) -> None:
    settings = ["x_T inverted", "x_T random"] if system == "painted" else ["reconstruction"]
    assert (found.rows, found.columns) == (["input", *settings], [])
    order = sheets.order[:8]
    assert [number_of(cell) for cell in found.images[0]] == order
    assert set(order) <= TEST and len(set(order)) == 8
    for row, setting in zip(found.images[1:], settings, strict=True):
        assert len(row) == 8
        for cell, number in zip(row, order, strict=True):
            random = setting == "x_T random"
            x_T = random_x_T(number) if random else inverted(number, "reconstruction")
            shows(system, cell, code(system, number), x_T, STEPS["reconstruction"] / 8)


def worst(sheets: Sheets, found: Cells, system: str, kept: Path) -> None:
    assert found.rows == ["input", "reconstruction"]
    names = [f"{number_of(cell):06}.png" for cell in found.images[0]]
    assert found.columns == names
    assert found.about["steps"] == (STEPS["reconstruction"] if system == "painted" else None)
    numbers = [int(name[:6]) for name in names]
    scores = {}
    for path in (kept / "inputs").iterdir():
        pair = [as_tensor(path), as_tensor(kept / system / path.name)]
        ssim = float(reference_metrics.ssim(*(x[None].double() / 255 for x in pair)))
        scores[int(path.stem)] = ssim, float(((pair[0] - pair[1]) / 255).square().mean())
    assert len(scores) == KEPT
    assert numbers == sorted(scores, key=lambda number: scores[number][0])[:4]
    told_of = [number_told_by(system, cell) for cell in found.images[1]]
    assert told_of == [number if system != "tokens" else number % 50 for number in numbers]
    assert found.notes[0] == [""] * 4
    for note, number in zip(found.notes[1], numbers, strict=True):
        ssim, error = map(float, re.fullmatch(r"SSIM (\S+), MSE (\S+)", note).groups())
        assert ssim == pytest.approx(scores[number][0], abs=2e-3)
        assert error == pytest.approx(scores[number][1], rel=0.06)


def as_tensor(path: Path) -> torch.Tensor:
    with Image.open(path) as file:
        return torch.from_numpy(np.asarray(file).copy()).permute(2, 0, 1).float()


def number_told_by(system: str, cell) -> int:
    first = told(cell, WIDTH[system]).semantic[0]
    return round(first if system == "tokens" else 10 * first)


def variation(sheets: Sheets, found: Cells, free: str) -> None:
    draws = [f"{free} {k}" for k in range(1, DRAWS + 1)]
    assert found.columns == ["input", *draws, "mean", "standard deviation"] and not found.rows
    assert len(found.images) == 3
    assert set(sheets.order) <= TEST and len(set(sheets.order)) == 9
    for group, row in enumerate(found.images):
        members = sheets.order[DRAWS * group : DRAWS * (group + 1)]
        assert number_of(row[0]) == members[0]
        for cell, other in zip(row[1 : DRAWS + 1], members, strict=True):
            z_of, x_T_of = (members[0], other) if free == "x_T" else (other, members[0])
            shows("painted", cell, code_of(z_of), random_x_T(x_T_of), STEPS["variation"] / 8)
        decodes = np.stack(row[1 : DRAWS + 1]).astype(float)
        assert np.abs(decodes.mean(0) - row[-2]).max() <= 1
        spread = decodes.std(0, ddof=1).mean(2, keepdims=True) / 255 / 0.25
        assert np.abs(spread.clip(0, 1) * 255 - row[-1]).max() <= 1.5


def interpolation(sheets: Sheets, found: Cells, system: str) -> None:
    places = np.linspace(0, 1, 9)
    assert found.columns == ["input A", *(f"{t:.3g}" for t in places), "input B"]
    assert len(found.images) == 4 and not found.rows
    for pair, row in enumerate(found.images):
        a, b = sheets.order[2 * pair : 2 * pair + 2]
        assert (number_of(row[0]), number_of(row[-1])) == (a, b)
        for t, cell in zip(places, row[1:-1], strict=True):
            semantic = (1 - t) * code(system, a) + t * code(system, b)
            x_T = on_circle(inverted(a, "interpolation"), inverted(b, "interpolation"), t)
            shows(system, cell, semantic, x_T, STEPS["interpolation"] / 8)


def on_circle(a, b, t: float):
    """The point between two vectors, as Shoemake writes it."""
    x, y = (np.asarray(v, dtype=np.float64).ravel() for v in (a, b))
    angle = np.arccos(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    found = (np.sin((1 - t) * angle) * x + np.sin(t * angle) * y) / np.sin(angle)
    return (
        torch.from_numpy(found.reshape(a.shape)).float() if isinstance(a, torch.Tensor) else found
    )


def moved_codes(
    sheets: Sheets,
    found: Cells,
    system: str,
    moves: Sequence[str],
    check: Callable[[dict[str, list[np.ndarray]], list[int]], None],
) -> None:
    """A sheet of `latent`: x_T is that of the image's number in every column."""
    assert found.columns == ["input", "as encoded", *moves] and not found.rows
    numbers = [number_of(row[0]) for row in found.images]
    assert numbers == sheets.order[:6]
    assert found.about["steps"] == (STEPS["latent"] if system == "painted" else None)
    codes: dict[str, list[np.ndarray]] = {move: [] for move in moves}
    for number, row in zip(numbers, found.images, strict=True):
        x_T, T = random_x_T(number), STEPS["latent"] / 8
        shows(system, row[1], code(system, number), x_T, T)
        for move, cell in zip(moves, row[2:], strict=True):
            semantic = told(cell, WIDTH[system]).semantic
            shows(system, cell, semantic, x_T, T)
            codes[move].append(semantic)
    check(codes, numbers)


def halfway(sheets: Sheets, found: Cells, system: str) -> None:
    if system == "tokens":
        moved_codes(sheets, found, system, [], lambda codes, numbers: None)
        return
    training = np.stack([code(system, number) for number in TRAINING])
    units = training / np.linalg.norm(training, axis=1, keepdims=True)

    def check(codes, numbers):
        for place, number in enumerate(numbers):
            own = code(system, number)
            near = {
                "slerp": np.argsort(-units @ own)[:10],
                "linear": np.argsort(np.square(training - own).sum(1))[:10],
            }
            for move, candidates in near.items():
                middles = [
                    on_circle(own, training[c], 0.5) if move == "slerp" else (own + training[c]) / 2
                    for c in candidates
                ]
                assert np.abs(np.stack(middles) - codes[move][place]).max(1).min() < 1e-4, move

    moved_codes(sheets, found, system, ["slerp", "linear"], check)


def robustness(sheets: Sheets, found: Cells, system: str) -> None:
    training = np.stack([code(system, number) for number in TRAINING])
    mean, deviation = training.mean(0), training.std(0, ddof=1)

    def check(codes, numbers):
        own = np.stack([code(system, number) for number in numbers])
        eps = [(np.stack(codes[f"noise {s:g}"]) - own) / s / deviation for s in NOISE]
        np.testing.assert_allclose(eps[0], eps[1], atol=5e-3)
        assert 0.6 < eps[1].std() < 1.4 and abs(eps[1].mean()) < 0.5
        for bits in BITS:
            grid = mean + np.linspace(-3, 3, 2**bits)[:, None] * deviation
            nearest = np.abs(grid[:, None] - own).argmin(0)
            expected = np.take_along_axis(grid, nearest, 0)
            np.testing.assert_allclose(np.stack(codes[f"{bits} bits"]), expected, atol=2e-4)

    moves = [*(f"noise {s:g}" for s in NOISE), *(f"{bits} bits" for bits in BITS)]
    moved_codes(sheets, found, system, moves, check)


def near_tokens(sheets: Sheets, found: Cells, system: str) -> None:
    def check(codes, numbers):
        ranks = [
            (c - code(system, n)) % 50 for c, n in zip(codes["2 nearest"], numbers, strict=True)
        ]
        assert set(np.ravel(ranks)) == {0, 1}

    moved_codes(sheets, found, system, ["2 nearest"], check)


def samples(sheets: Sheets, found: Cells, system: str, steps: int | None) -> None:
    assert not found.rows and not found.columns
    assert found.about["steps"] == steps and found.title.endswith(
        f"T = {steps}" if steps else "les"
    )
    assert [len(row) for row in found.images] == [8, 8, 4]
    for index, cell in enumerate(cell for row in found.images for cell in row):
        shows_sample(system, cell, index, steps)


def shows_sample(system: str, cell, index: int, steps: int | None) -> None:
    shows(system, cell, of_sample(system, index, steps or 0), random_x_T(index), (steps or 0) / 8)


def sample_told(system: str, cell, steps: int) -> int:
    first = told(cell, WIDTH[system]).semantic[0] - SEED / 16
    return round(10 * (first - steps / 64 * (system == "painted")))


def fewshot(sheets: Sheets, found: Cells, system: str, name: str) -> None:
    assert not found.rows and not found.columns and name in found.title
    steps = STEPS["fewshot"]
    cells = [cell for row in found.images for cell in row]
    indices = [sample_told(system, cell, steps) for cell in cells]
    assert indices == sorted(set(indices)) and set(indices) <= set(range(40)) and len(indices) <= 16
    for index, cell in zip(indices, cells, strict=True):
        shows_sample(system, cell, index, steps)
    male = np.mean([attributes_of(index)[0] for index in indices])
    assert male > 0.8 if name.endswith("-Male") else male < 0.2


def memorisation(sheets: Sheets, found: Cells, system: str) -> None:
    assert found.rows == ["sample", "nearest training image"] and not found.columns
    steps = STEPS["samples"]
    new = sheets.cells[f"samples-{system}" + f"-{steps}" * (system == "painted")].images
    every = np.stack([colour(cell) for row in new for cell in row])
    real = np.stack([colour(image_of(number)) for number in TRAINING])
    distances = np.linalg.norm(every[:, None] - real, axis=2)
    order = np.argsort(distances.min(1), kind="stable")[:8]
    for index, made, image in zip(order, *found.images, strict=True):
        shows_sample(system, made, index, steps)
        assert number_of(image) == TRAINING[distances[index].argmin()]


def colour(pixels) -> np.ndarray:
    """The feature of an image, its mean colour, as float32 sums it."""
    return pixels.reshape(-1, 3).astype(np.float64).mean(0)


def edits(sheets: Sheets, found: Cells, system: str, attribute: str) -> None:
    numbers = [number_of(cell) for cell in found.images[0]]
    assert numbers == sheets.order[:8]
    assert found.rows == ["input", "reconstruction", *(f"strength {s:g}" for s in STRENGTHS)]
    has = np.array([attributes_of(n)[ATTRIBUTES.index(attribute)] for n in numbers])
    ways = [f"{'away from' if one else 'towards'} {attribute}" for one in has]
    assert found.columns == ways and set(has) == {True, False}
    training = np.stack([read(code(system, n)) for n in TRAINING])
    of_class = np.array([attributes_of(n)[ATTRIBUTES.index(attribute)] for n in TRAINING])
    deviation = training.std(0, ddof=1)
    apart = (training[of_class].mean(0) - training[~of_class].mean(0)) / deviation
    steps = []
    for strength, row in zip((0, *STRENGTHS), found.images[1:], strict=True):
        for number, one, cell in zip(numbers, has, row, strict=True):
            own, semantic = code(system, number), told(cell, WIDTH[system]).semantic
            shows(system, cell, semantic, inverted(number, "identity"), STEPS["identity"] / 8)
            by = semantic - own
            if len(by) > VECTOR:  # a map moves alike in all places
                spread = by[VECTOR:].reshape(MAP)
                assert np.ptp(spread, axis=(1, 2)).max() < 1e-4
            if not strength:
                assert np.abs(by).max() < 5e-5
                continue
            steps.append((-1 if one else 1) * read(by) / deviation / strength)
    units = np.stack(steps)
    np.testing.assert_allclose(units, np.broadcast_to(units[-1], units.shape), atol=5e-3)
    assert np.linalg.norm(units, axis=1) == pytest.approx(np.sqrt(units.shape[1]), rel=1e-3)
    assert units[-1] @ apart > 0


def read(semantic: np.ndarray) -> np.ndarray:
    """What a probe reads: the vector, and the means of the map."""
    means = semantic[VECTOR:].reshape(-1, MAP[1] * MAP[2]).mean(1)
    return np.concatenate([semantic[:VECTOR], means])


def denoising(sheets: Sheets, found: Cells, system: str) -> None:
    assert found.columns == ["input", *(f"t = {t}" for t in TIMES)] and not found.rows
    numbers = [number_of(row[0]) for row in found.images]
    assert numbers == sheets.order[:4]
    drawn_eps = []
    for number, row in zip(numbers, found.images, strict=True):
        image = in_range(image_of(number)[None])
        at = np.array([float(image[(0, *place)]) for place in PLACES])
        eps = []
        for t, cell in zip(TIMES, row[1:], strict=True):
            semantic, noised, other = told(cell)
            np.testing.assert_allclose(semantic, code_of(number), atol=5e-5)
            assert other == pytest.approx(t / 100, abs=5e-5)
            eps.append((noised - at) / (t / 1000))
        np.testing.assert_allclose(eps[0], eps[1], atol=1e-3)
        drawn_eps.append(eps[1])
    spread = np.stack(drawn_eps)
    assert 0.5 < spread.std() < 1.5 and np.ptp(spread, axis=0).min() > 0.1


def space(sheets: Sheets, found: Cells, system: str) -> None:
    """Curves in blue beside what white codes have in grey; a spectrum of maps alone."""
    assert found.columns == ["eigenvalues", "spectrum", "density"]
    assert len(found.images) == max(len(found.rows), 1)
    for row in found.images:
        blue = [(cell[..., 2] > cell[..., 0] + 50.0).any() for cell in row]
        assert blue[0] and blue[2]
        assert blue[1] == (system == "painted" and row is found.images[-1])


def with_inputs(sheets: Sheets, found: Cells) -> None:
    """A sheet of another benchmark: its inputs are the first test images of the run, in their order."""
    names = found.rows or found.columns
    assert "input" in names, "its rows or columns name none: say here what it shows"
    cells = found.images if found.rows else list(zip(*found.images, strict=True))
    inputs = [number_of(cell) for cell in cells[names.index("input")]]
    assert inputs == sheets.order[: len(inputs)]


EXPECTED: dict[str, Callable[..., None]] = {
    r"reconstruction-(painted|plain|tokens)": reconstruction,
    r"variation-painted-(x_T|z_sem)": variation,
    r"interpolation-(painted|plain)": interpolation,
    r"latent_interpolation-(painted|plain|tokens)": halfway,
    r"latent_robustness-(painted|plain)": robustness,
    r"latent_tokens-(tokens)": near_tokens,
    r"latent_space-(painted|plain)": space,
    r"fewshot-(painted|plain)-((?:binary|pu)-(?:Male|Female))": fewshot,
    r"memorisation-(painted|plain)": memorisation,
    r"edit-(painted|plain)-(Male|Smiling)": edits,
    r"denoising-(painted)": denoising,
}


def test_each_cell_of_each_sheet_is_what_its_place_says(sheets, run):
    """Those of every benchmark."""
    seen = set()
    for name, found in sheets.cells.items():
        if match := re.fullmatch(r"samples-(painted|plain)(?:-(\d+))?", name):
            system, steps = match.groups()
            samples(sheets, found, system, int(steps) if steps else None)
            seen.add("samples")
        elif match := re.fullmatch(r"reconstruction-worst-(painted|plain|tokens)", name):
            worst(sheets, found, match[1], run / "images")
            seen.add("worst")
        else:
            matches = {of: m for of in EXPECTED if (m := re.fullmatch(of, name))}
            for of, match in matches.items():
                EXPECTED[of](sheets, found, *match.groups())
                seen.add(of)
            if not matches:
                with_inputs(sheets, found)
        assert found.about["system"] in name and found.title.startswith(found.about["system"])
    assert seen == {*EXPECTED, "samples", "worst"}


def test_images_that_are_kept_are_the_inputs_and_their_decodes(run, sheets):
    """By the number of the image, whatever chunk it was decoded in."""
    folders = {path.name for path in (run / "images").iterdir()}
    assert folders == {"inputs", "painted", "painted-random", "plain", "tokens"}
    for folder in folders:
        files = sorted((run / "images" / folder).iterdir())
        assert len(files) == KEPT
        for path in files:
            number = int(path.stem)
            with Image.open(path) as file:
                pixels = np.asarray(file)
            if folder == "inputs":
                assert number_of(pixels) == number
                continue
            system, _, random = folder.partition("-")
            x_T = random_x_T(number) if random else inverted(number, "reconstruction")
            shows(system, pixels, code(system, number), x_T, STEPS["reconstruction"] / 8)
