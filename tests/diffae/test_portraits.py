"""The portraits: equal on every machine, with correct labels that are all visible."""

import os
import shutil
import subprocess
import sys
from functools import cache, partial
from itertools import chain

import numpy as np
import pytest
from drawing import RASTERISERS, SOURCES, drawing
from interleaving import interleaved
from refusal import refusal

from diffae.data import open_dataset
from diffae.data.__main__ import main
from diffae.data.portraits import ATTRIBUTES, portrait, render, with_attribute, write_dataset
from diffae.data.portraits.attributes import BEARDS, HAIR_COLOURS
from diffae.data.portraits.write import CHUNK, _claim
from diffae.system.errors import UserError

CELEBA = "5_o_Clock_Shadow Arched_Eyebrows Attractive Bags_Under_Eyes Bald Bangs".split()

# Mean absolute difference at 32 px, in grey levels of 255, that a switched attribute makes at least.
VISIBLE = 0.3


@cache
def many():
    return [portrait(0, index) for index in range(3000)]


@cache
def bare(index):
    """A portrait without what hides hair, and its picture of 32 px."""
    p = with_attribute(with_attribute(portrait(0, index), "Bald", False), "Wearing_Hat", False)
    return p, render(p, 32).astype(float)


def test_attributes_are_celebas_in_its_order():
    assert len(ATTRIBUTES) == 40
    assert list(ATTRIBUTES) == sorted(ATTRIBUTES)
    assert list(ATTRIBUTES[:6]) == CELEBA


def test_a_portrait_depends_on_seed_and_index_alone():
    assert portrait(0, 7) == portrait(0, 7)
    assert portrait(0, 7) != portrait(1, 7)
    assert np.array_equal(render(portrait(0, 7), 48), render(portrait(0, 7), 48))


def test_partition_is_by_identity_and_of_the_stated_shares():
    sides = {}
    for p in many():
        sides.setdefault(p.identity, set()).add(p.partition)
    assert all(len(side) == 1 for side in sides.values())
    shares = np.bincount([p.partition for p in many()]) / len(many())
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.05)


@pytest.mark.parametrize(
    "name, share",
    [("Male", 0.42), ("No_Beard", 0.82), ("Young", 0.75), ("Smiling", 0.48), ("Wearing_Hat", 0.08)],
)
def test_prevalences(name, share):
    assert np.mean([p.attributes[name] for p in many()]) == pytest.approx(share, abs=0.05)


def test_every_attribute_occurs_both_ways_in_a_small_test_split():
    test = [p.attributes for p in many() if p.partition == 2]
    for name in ATTRIBUTES:
        count = sum(attributes[name] for attributes in test)
        assert 20 <= count <= len(test) - 20, name


def test_attributes_do_not_contradict_each_other():
    for p in many():
        a = p.attributes
        assert sum(a[name] for name in HAIR_COLOURS) <= 1
        assert not (a["Bald"] and (a["Bangs"] or a["Wavy_Hair"] or a["Straight_Hair"]))
        assert not (a["Wavy_Hair"] and a["Straight_Hair"])
        assert not (a["No_Beard"] and any(a[name] for name in BEARDS))
        assert a["Male"] or a["No_Beard"]


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_switched_attribute_is_visible_at_32_px(name):
    differences = []
    for index in range(0, 3000, 250):
        p, picture = bare(index)
        switched = with_attribute(p, name, not p.attributes[name])
        assert switched.attributes[name] != p.attributes[name]
        differences.append(np.abs(render(switched, 32).astype(float) - picture).mean())
    assert np.median(differences) > VISIBLE


def test_pictures_of_one_identity_are_alike_but_not_the_same():
    first, second = portrait(0, 0), portrait(0, 1)
    assert first.identity == second.identity
    assert first.look == second.look
    assert first.scene != second.scene


def test_written_files_open_as_celeba_with_the_same_labels(tmp_path):
    write_dataset(tmp_path / "set", 12, 64, seed=3, workers=1)
    dataset = open_dataset(tmp_path / "set", 64)
    assert dataset.attribute_names == ATTRIBUTES
    for index in range(12):
        p = portrait(3, index)
        assert np.array_equal(dataset.images([index])[0], render(p, 64))
        assert list(dataset.attributes[index]) == list(p.attributes.values())
        assert dataset.partition[index] == p.partition
        assert dataset.identities[index] == p.identity + 1


def test_an_unfinished_set_is_finished(tmp_path):
    out = tmp_path / "set"
    write_dataset(out, 8, 16, workers=1)
    kept = (out / "img_align_celeba" / "000002.png").stat().st_mtime_ns
    (out / "img_align_celeba" / "000005.png").unlink()
    (out / "list_attr_celeba.txt").unlink()
    write_dataset(out, 8, 16, workers=1)
    assert len(open_dataset(out, 16)) == 8
    assert (out / "img_align_celeba" / "000002.png").stat().st_mtime_ns == kept


def test_other_folders_are_left_alone(tmp_path):
    write_dataset(tmp_path / "set", 4, 16, workers=1)
    with pytest.raises(UserError, match="other portraits"):
        write_dataset(tmp_path / "set", 5, 16, workers=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        write_dataset(tmp_path / "mine", 4, 16, workers=1)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["portrait", "--out", "x", "--count", "1"], "did you mean portraits?"),
        (["portraits", "--count", "1"], "--out"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert message in refusal(main, capsys, *arguments)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_killed_before_its_note_is_taken(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "portraits.json.0123abcd.partial").touch()
    write_dataset(tmp_path / "set", 2, 16, workers=1)
    assert len(open_dataset(tmp_path / "set", 16)) == 2


@pytest.mark.parametrize("content", ["", "{", "[" * 9000])
def test_a_damaged_note_is_named(tmp_path, content):
    (tmp_path / "portraits.json").write_text(content)
    with pytest.raises(UserError, match=r"holds other portraits \(see .*portraits\.json"):
        write_dataset(tmp_path, 2, 16)


@pytest.mark.skipif(os.cpu_count() == 1, reason="one process draws by itself")
def test_processes_that_a_program_on_standard_input_started_draw_the_same(tmp_path):
    """Without a main guard and in an empty cache, where two chunks are worth several processes."""
    count = CHUNK + 1
    program = (
        "import diffae.data.portraits.write as writing\n"
        "from diffae.data import open_portraits\n"
        "writing.WORTH_PROCESSES = 1\n"
        f"print(open_portraits({count}, 8).root)\n"
    )
    done = subprocess.run(
        [sys.executable, "-"],
        input=program,
        env=os.environ | {"DIFFAE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    drawn = open_dataset(done.stdout.strip(), 64)
    assert len(drawn) == count and not list(tmp_path.rglob("*.partial"))
    for index in (0, CHUNK - 1, CHUNK):
        assert np.array_equal(drawn.images([index])[0], render(portrait(0, index), 64))


@pytest.mark.parametrize(
    ("count", "size", "message"),
    [
        (0, 64, "count must be 1 to 1,000,000, not 0"),
        (10**12, 64, "count must be 1 to 1,000,000, not 1,000,000,000,000"),
        (1, 7, "size must be 8 to 4096, not 7"),
        (1, 10**6, "size must be 8 to 4096, not 1,000,000"),
    ],
)
def test_numbers_that_would_fill_the_machine_are_refused(tmp_path, count, size, message):
    """A million pixels a side ended with SIGABRT, 10^12 portraits not at all."""
    with pytest.raises(UserError, match=message):
        write_dataset(tmp_path / "out", count, size)
    assert not (tmp_path / "out").exists()


# ----------------------------------------------------------------------------------------------
# Several processes that draw at once


def drawn(out, count=1):
    write_dataset(out, count, 8, workers=1)
    return open_dataset(out, 8).fingerprint


def test_another_process_may_draw_the_same_at_any_moment(tmp_path):
    ends = [*interleaved(tmp_path, _claim, drawn, drawn)]
    assert len(ends) > 20 and {*chain(*ends)} == {drawn(tmp_path / "alone")}


def test_of_two_processes_that_draw_other_portraits_one_is_refused(tmp_path):
    for place, ends in enumerate(interleaved(tmp_path, _claim, drawn, partial(drawn, count=2))):
        (error,) = (end for end in ends if isinstance(end, Exception))
        assert "holds other portraits" in str(error)
        assert len(open_dataset(tmp_path / str(place), 8)) == 1 + (error is ends[0])


def test_processes_that_begin_together_draw_the_same(tmp_path):
    """Real ones, which begin each set at the same instant."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom diffae.data.portraits import write_dataset\n"
        "print(flush=True)\n"
        "for line in sys.stdin:\n"
        "    write_dataset(Path(line.strip()), 1, 8, workers=1)\n"
        "    print('drawn', flush=True)\n"
    )
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", program], **given) for _ in range(2)]
    for process in both:
        process.stdout.readline()
    for number in range(100):
        for process in both:
            print(tmp_path / str(number), file=process.stdin, flush=True)
        assert [process.stdout.readline() for process in both] == ["drawn\n"] * 2
    assert [process.communicate()[0] for process in both] == [""] * 2


def test_portraits_that_another_drawing_has_left_are_not_tested_on(tmp_path):
    """The tests' cache has a folder for each drawing: of these modules, with these packages."""
    copy = shutil.copytree(SOURCES, tmp_path / "portraits")
    assert os.environ["DIFFAE_CACHE"].endswith(drawing(copy)) and drawing(copy) == drawing()
    others = {drawing(copy, lambda name, of=of: f"{name == of}") for of in RASTERISERS}
    for path in sorted(copy.glob("*.py")):
        path.write_text(path.read_text() + "# changed")
        others.add(drawing(copy))
    assert len(others - {drawing()}) == len(RASTERISERS) + len([*SOURCES.glob("*.py")])
