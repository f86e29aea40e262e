"""The page of a history, of entries that are made here: order, limits, words, and what a line joins."""

import html
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from gate_runs import KEY, SSIM, write_run
from run_folders import change_notes

from reports.page.plots import drawing
from reports.records.record import HIGHER, LOWER, NEITHER
from reports.records.run_folder import read_run
from reports.trend.entries import Entry, Number, badge, entry_of, for_action
from reports.trend.page import commit_of, evaluations, figures, lines_of, render

FIRST = datetime(2026, 1, 1, 12, tzinfo=UTC)


def one(value=0.5, system="A", metric="ssim", **more):
    told = {
        "benchmark": "reconstruction",
        "direction": HIGHER,
        "n": 8,
        "protocol": "p",
        "label": metric.upper(),
    }
    given = {"table": "", "dataset": "", "split": "", "setting": "", "steps": None} | told | more
    return Number(system=system, metric=metric, value=value, **given)


def run(i, *numbers, **more):
    date = (FIRST + timedelta(days=i)).isoformat()
    given = {"version": "1.0", "dataset": "faces", "profile": "quick"} | more
    return Entry(f"{i:016x}", f"{i:040x}"[::-1], date, numbers=numbers or (one(),), **given)


def facts(page):
    found = re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", page, re.S)
    return {name: html.unescape(text.strip()) for name, text in found}


def rows(entries):
    (figure,) = figures(list(enumerate(entries)), by_images=False)
    return figure["rows"]


@pytest.mark.parametrize("count", [1, 200, 201])
def test_a_page_has_the_newest_200_runs(count):
    told = facts(render([run(i) for i in range(count)]))
    first, last = ((FIRST + timedelta(days=i)).date() for i in (max(count - 200, 0), count - 1))
    assert told["Runs"] == str(min(count, 200))
    assert told["From"] == (f"{first} to {last}" if count > 1 else f"{first}")
    assert told["Newest"] == f"{f'{count - 1:x}'[::-1]:0<9}, version 1.0"


def test_what_the_runs_share_is_said_once_and_what_they_do_not_in_their_order():
    told = facts(render([run(i, dataset=d) for i, d in enumerate(("b", "a", "b", ""))]))
    assert (told["Data"], told["Profile"]) == ("b, a", "quick")
    told = facts(render([run(0, dataset="", profile="", version="")]))
    assert (told["Data"], told["Profile"]) == ("not said", "not said")
    assert told["Newest"].endswith(", version not said")


@pytest.mark.parametrize(
    ("commit", "dirty", "text"),
    [
        ("0123456789ab", False, "012345678"),
        ("0123456789ab", True, "012345678+"),
        ("", False, "no commit"),
        ("", True, "no commit+"),
    ],
)
def test_a_commit_is_nine_digits_and_a_plus_if_there_were_changes(commit, dirty, text):
    assert commit_of(Entry("", commit, "", "", (), dirty)) == text


@pytest.mark.parametrize("count", [1, 29, 30, 31])
def test_the_table_has_the_newest_30_runs_the_newest_first(count):
    found = rows([run(i, one(i / 64)) for i in range(count)])
    shown = [*reversed(range(count))][:30]
    assert [values for _, values in found] == [[f"{i / 64:.4f}"] for i in shown]
    dates = [(FIRST + timedelta(days=i)).strftime("%Y-%m-%d %H:%M") for i in shown]
    assert [when for (when, _), _ in found] == dates
    assert [commit for (_, commit), _ in found] == [f"{f'{i:x}'[::-1]:0<9}" for i in shown]


def test_a_run_has_an_empty_cell_where_it_lacks_a_number():
    """A column for each system, T and solver, as they come; 0 is a number."""
    first = run(0, one(0.0), one(0.5, "B", steps=5))
    second = run(
        1, one(0.25, "B", steps=5), one(0.75, "B", steps=10), one(0.125, "B", steps=10, solver="s")
    )
    found = [values for _, values in rows([first, second])]
    assert found == [["", "0.2500", "0.7500", "0.1250"], ["0.0000", "0.5000", "", ""]]


def test_a_change_of_solver_is_another_line_with_a_name_of_its_own():
    """As many names in the table's head as columns."""
    runs = [run(0, one(0.25, steps=10)), run(1, one(0.75, steps=10, solver="ab2-v"))]
    (figure,) = figures([*enumerate(runs)], by_images=False, of="run")
    assert [line.name for line in figure["plot"].key] == [
        "A, T = 10",
        "A, T = 10 by fast",
    ]
    assert [values for _, values in figure["rows"]] == [["", "0.7500"], ["0.2500", ""]]
    assert [n.title.partition("T = ")[2] for r in runs for n in r.numbers] == ["10", "10 by fast"]


def test_there_is_a_figure_for_each_benchmark_metric_and_setting():
    numbers = [one(), one(setting="s"), one(metric="mse", direction=LOWER), one(benchmark="latent")]
    numbers += [
        one(0.25, "B"),
        one(metric="lpips", value=None),
        one(metric="psnr", unit="dB", setting="s"),
    ]
    found = list(figures([(3, run(0, *numbers))], by_images=True, of="image"))
    titles = [figure["plot"].title for figure in found]
    assert titles == ["SSIM ↑", "SSIM ↑, s", "MSE ↓", "SSIM ↑", "PSNR (dB) ↑, s"]
    assert [figure["id"] for figure in found] == [f"fimage{i}" for i in range(5)]
    assert [figure["benchmark"] for figure in found] == ["reconstruction"] * 3 + [
        "latent",
        "reconstruction",
    ]
    assert [cells[0] for cells, _ in found[0]["rows"]] == ["3"]


def test_a_plot_says_in_words_where_each_began_and_ended():
    entries = [
        run(0, one(0.5, stderr=0.125)),
        run(1, one(0.25)),
        run(2, one(0.75), one(0.125, "B")),
    ]
    (figure,) = figures(list(enumerate(entries)), by_images=False)
    assert figure["plot"].text == "A: 0.5000 ± 0.1250 at first, 0.7500 at last; B: 0.1250."


@pytest.mark.parametrize(
    ("metric", "changes", "lengths"),
    [
        ("ssim", [{}, {}, {}], [3]),
        ("ssim", [{}, {"protocol": "q"}, {}], [1, 1, 1]),
        ("ssim", [{}, {"protocol": "q"}, {"protocol": "q"}], [1, 2]),
        ("ssim", [{}, {"n": 9}, {"n": 10}], [3]),
        ("fid", [{}, {"n": 9}, {"n": 9}], [1, 2]),
        ("fid", [{"n": 0}, {"n": None}, {"n": 0}], [1, 1, 1]),
    ],
)  # fmt: skip
def test_a_line_joins_what_was_measured_alike(metric, changes, lengths):
    """The n counts where the metric depends on it; given in any order of the places."""
    numbers = {5 * i: one(i / 8, metric=metric, **change) for i, change in enumerate(changes)}
    lines = lines_of(0, dict(reversed(numbers.items())))
    assert [len(line.points) for line in lines] == lengths
    points = [(p.x, p.y) for line in lines for p in line.points]
    assert points == [(5 * i, i / 8) for i in range(3)]
    assert len({(line.name, line.colour, line.marker, line.dash) for line in lines}) == 1


@pytest.mark.parametrize(("steps", "name"), [(None, "A"), (0, "A, T = 0"), (100, "A, T = 100")])
def test_a_line_is_called_by_its_system_and_T(steps, name):
    assert {line.name for line in lines_of(0, {0: one(steps=steps)})} == {name}


def test_lines_of_one_figure_are_told_apart():
    """Neighbours by their colours; of equal colours by their markers or dashes."""
    looks = []
    for i in range(2 * drawing.COLOURS):
        (line,) = lines_of(i, {0: one()})
        looks.append((line.colour, line.marker, line.dash))
    assert len({*looks}) == 2 * drawing.COLOURS
    assert len({colour for colour, *_ in looks[: drawing.COLOURS]}) == drawing.COLOURS


# ----------------------------------------------------------------------------------------------
# Entries


@pytest.mark.parametrize(
    ("notes", "date"),
    [
        ({"started": "2026-02-01T00:00:00+00:00", "ended": "2026-02-02T00:00:00+00:00"}, "02"),
        ({"started": "2026-02-01T00:00:00+00:00", "ended": None}, "01"),
        ({"started": "no date", "ended": "2026-02-03T00:00:00+00:00"}, "03"),
    ],
)
def test_the_date_of_a_run_is_that_of_its_end(tmp_path, notes, date):
    folder = change_notes(write_run(tmp_path / "run", {KEY: SSIM}), **notes)
    assert entry_of(folder).date == f"2026-02-{date}T00:00:00+00:00"


def test_a_headline_has_what_a_trend_needs_of_its_record(tmp_path):
    folder = change_notes(write_run(tmp_path / "run", {KEY: SSIM}), ended="2026-02-02T00:00:00")
    (number,), (record,) = entry_of(folder).numbers, read_run(folder).rows
    needed = "benchmark system metric setting steps solver value stderr ci_low ci_high n direction unit protocol"
    for name in needed.split():
        assert getattr(number, name) == getattr(record, name), name


@pytest.mark.parametrize("dirty", [True, False, "yes", 1, None])
@pytest.mark.parametrize("given", ["", "b" * 40])
def test_changes_count_of_the_checkout_that_was_measured(tmp_path, dirty, given):
    """Not where another commit is given, nor what is not said as true."""
    notes = {"commit": "a" * 40, "dirty": dirty, "ended": "2026-02-01T00:00:00+00:00"}
    entry = entry_of(change_notes(write_run(tmp_path / "run", {KEY: SSIM}), **notes), given)
    assert entry.commit == (given or "a" * 40)
    assert entry.dirty is (dirty is True and not given)


def test_a_date_without_a_zone_is_utc():
    naive, aware, east = (
        Entry("", "", date, "", ()).when
        for date in (
            "2026-01-01T12:00:00",
            "2026-01-01T12:00:00+00:00",
            "2026-01-01T14:00:00+02:00",
        )
    )
    assert naive == aware == east


def test_numbers_for_the_action_are_of_one_direction_each():
    """With what is known of them: a seedless 0 stays."""
    entry = run(0, one(0.0, stderr=0.0, steps=0), one(0.25, metric="mse", direction=LOWER, n=0, unit="px"),
                one(3.0, metric="latent_dim", direction=NEITHER), version="")  # fmt: skip
    (higher,) = json.loads(for_action(entry, HIGHER))
    assert higher == {
        "name": "A, SSIM of reconstruction, T = 0", "unit": "SSIM", "value": 0.0, "range": "± 0",
        "extra": "n: 8\nprotocol: p\nprofile: quick\ndata: faces",
    }  # fmt: skip
    (lower,) = json.loads(for_action(entry, LOWER))
    assert (lower["unit"], lower["value"], "range" in lower) == ("px", 0.25, False)
    assert lower["extra"].startswith("n: 0\n")


@pytest.mark.parametrize(
    ("metric", "system", "label"),
    [("", "", "A SSIM"), ("mse", "", "A MSE"), ("", "B", "B SSIM"), ("mse", "B", "B MSE")],
)
def test_a_badge_shows_the_first_that_is_meant(metric, system, label):
    numbers = [
        one(i / 8, s, m)
        for i, (s, m) in enumerate([("A", "ssim"), ("A", "mse"), ("B", "ssim"), ("B", "mse")])
    ]
    assert f'"label": "{label}"' in badge(run(0, *numbers), metric, system)


def test_evaluations_stand_by_the_images_that_were_seen(tmp_path):
    """By number and not by name; of subfolders too, and nothing that is no number."""
    for place in ("evaluations/image/100", "evaluations/image/20", "evaluations/image/3",
                  "ddim/evaluations/image/50", "evaluations/latent/7"):  # fmt: skip
        folder = write_run(tmp_path / place, {KEY: SSIM})
        change_notes(folder, ended="2026-01-01T00:00:00+00:00")
    (tmp_path / "evaluations/image/all").mkdir()
    (tmp_path / "evaluations/image/9").write_text("no folder")
    found = {stage: [x for x, _ in runs] for stage, runs in evaluations(tmp_path).items()}
    assert found == {"image": [3, 20, 50, 100], "latent": [7]}


@pytest.mark.parametrize("count", [1, 7, 8, 15])
def test_at_most_seven_commits_are_named_at_equal_distances_up_to_the_newest(count):
    """By seven digits each."""
    entries = [run(i) for i in range(count)]
    (figure,) = figures(list(enumerate(entries)), by_images=False)
    shown = re.findall(r">([0-9a-f]{7})<", str(figure["plot"].svg))
    apart = -(-count // 7)
    assert shown == [entries[i].commit[:7] for i in range((count - 1) % apart, count, apart)]


def test_a_badge_shows_a_system_at_its_best_setting(tmp_path):
    """Whatever the run measured first."""
    scores = {("DiffAE", setting, "ssim"): SSIM - less for setting, less in (("x_T random", 0.1), ("x_T inverted", 0.0))}  # fmt: skip
    for name, of_run in (("a", scores), ("b", dict(reversed(scores.items())))):
        folder = write_run(tmp_path / name, of_run)
        change_notes(folder, ended="2026-01-01T00:00:00+00:00")
        assert [n.setting for n in entry_of(folder).numbers] == ["x_T inverted", "x_T random"]


@pytest.mark.parametrize("commit", ["a" * 40, None])
def test_a_commit_tells_runs_apart_and_without_one_the_date_does(tmp_path, commit):
    notes = [{"commit": commit, "ended": f"2026-01-0{day}T00:00:00+00:00"} for day in (1, 1, 2)]
    folder = write_run(tmp_path / "run", {KEY: SSIM})
    first, again, later = (entry_of(change_notes(folder, **more)).id for more in notes)
    assert first == again and (first == later) == bool(commit)
    assert entry_of(folder, "b" * 40).id not in (first, later)
