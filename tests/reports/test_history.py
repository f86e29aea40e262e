"""Headlines by commit: the file, the page, the badge, and the JSON of github-action-benchmark."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from gate_runs import KEY, SSIM, write_run
from refusal import refusal
from run_folders import change_notes
from scipy.stats import t
from visits import visiting

from diffae.system.errors import UserError
from diffae.system.whole import append
from reports import history
from reports.records.record import HIGHER, LOWER
from reports.trend.entries import add, badge, entry_of, for_action, read_history
from reports.trend.page import figures, lines_of, render

MSE = ("DiffAE", "", "mse")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def run_folder(
    folder: Path, scores: dict | None = None, commit: str | None = "a" * 40, day=1, **more
):
    write_run(folder, scores or {KEY: SSIM, MSE: SSIM / 1e3}, **more)
    notes = {"commit": commit, "dirty": False, "versions": {"diffae-bench": "0.6.0"}}
    return change_notes(folder, ended=f"2026-01-{day:02}T00:00:00+00:00", **notes)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "history.jsonl"


def three_runs(tmp_path, file):
    for i, letter in enumerate("abc"):
        scores = {KEY: SSIM - 0.01 * i, MSE: SSIM / 1e3}
        add(file, [entry_of(run_folder(tmp_path / letter, scores, letter * 40, i + 1))])
    return read_history(file)


# ----------------------------------------------------------------------------------------------
# The file


def test_a_line_has_the_headlines_with_their_errors_by_commit(tmp_path, file):
    entry = entry_of(run_folder(tmp_path / "run"))
    assert add(file, [entry]) == 1
    (line,) = file.read_text().splitlines()
    plain = json.loads(line)
    assert (plain["commit"], plain["version"], plain["date"][:10]) == (
        "a" * 40,
        "0.6.0",
        "2026-01-01",
    )
    found = {n["metric"]: n for n in plain["numbers"]}
    assert found["ssim"]["value"] == pytest.approx(SSIM.mean())
    assert found["ssim"]["stderr"] == pytest.approx(SSIM.std(ddof=1) / 200**0.5)
    half = t.ppf(0.975, 199) * found["ssim"]["stderr"]
    interval = found["ssim"]["ci_low"], found["ssim"]["ci_high"]
    assert interval == pytest.approx((SSIM.mean() - half, SSIM.mean() + half))
    assert found["mse"]["direction"] == LOWER and found["ssim"]["label"] == "SSIM"
    assert read_history(file) == [entry]


@pytest.mark.parametrize("seed", [0, 3, None])
def test_a_line_has_what_the_run_says_of_itself_and_numbers_that_are_0(tmp_path, file, seed):
    folder = run_folder(tmp_path / "run", {KEY: 0 * SSIM, MSE: 0.0})
    change_notes(folder, settings={"seed": seed, "profile": {"name": "quick"}})
    add(file, [entry_of(folder)])
    (entry,) = read_history(file)
    assert (entry.seed, entry.profile, entry.dataset) == (seed, "quick", "portraits")
    found = {number.metric: (number.value, number.stderr) for number in entry.numbers}
    assert found == {"ssim": (0, 0), "mse": (0, None)}
    (told,) = json.loads(for_action(entry, HIGHER))
    assert (told["value"], told["range"]) == (0, "± 0")
    assert json.loads(badge(entry, "ssim"))["message"].startswith("0.0")


def test_the_same_run_is_not_added_twice(tmp_path, file, capsys):
    run = run_folder(tmp_path / "run")
    for added in (1, 0):
        history.main([str(run), "--file", str(file)])
        said = capsys.readouterr().out
        assert f"{added} of 1 runs added" in said and ("there already" in said) == (not added)
        assert "history.jsonl: one run so far, 2 headlines" in said
    assert "One run so far" in render(read_history(file))
    again = run_folder(tmp_path / "again", day=2)  # the same commit, measured again, as before
    other = run_folder(tmp_path / "other", commit="b" * 40)
    assert add(file, [entry_of(again), entry_of(other), entry_of(other)]) == 1


def test_without_a_commit_its_date_tells_a_run_from_the_next(tmp_path, file):
    runs = [run_folder(tmp_path / f"{day}", commit=None, day=day) for day in (1, 2, 1)]
    assert add(file, [entry_of(run) for run in runs]) == 2


def test_the_oldest_is_first_wherever_it_was_made(tmp_path, file):
    """Half past midnight in Helsinki is before 23:00 in London of the day before, though its date
    is a later text.
    """
    dates = {"2" * 40: "2025-12-31T23:00:00+00:00", "1" * 40: "2026-01-01T00:30:00+02:00"}
    for commit, date in dates.items():
        add(file, [replace(entry_of(run_folder(tmp_path / commit[0], commit=commit)), date=date)])
    assert [entry.commit[0] for entry in read_history(file)] == ["1", "2"]


def test_jobs_that_end_at_once_lose_nothing_and_add_nothing_twice(tmp_path, file, monkeypatch):
    def late(*arguments):
        time.sleep(0.01)
        return append(*arguments)

    monkeypatch.setattr("reports.trend.entries.append", late)
    entry = entry_of(run_folder(tmp_path / "run"))
    entries = [type(entry)(**vars(entry) | {"id": f"{i:016}"}) for i in range(10)]
    with ThreadPoolExecutor(
        8
    ) as pool:  # a lock is of an open file: threads wait for it like processes
        added = list(pool.map(lambda e: add(file, [e, entries[0]]), entries))
    lines = file.read_text().splitlines()
    assert sum(added) == len(lines) == 10 and {e.id for e in read_history(file)} == {e.id for e in entries}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [lines[0], lines[1][:-20], lines[2]], "line 2: damaged"),
        (lambda lines: [lines[0], "", lines[1], lines[2]], "line 2: damaged"),
        (lambda lines: ["<<<<<<< HEAD", *lines], "line 1: damaged"),
        (lambda lines: [lines[0].replace('"format": 2', '"format": 1'), *lines[1:]], "line 1: of format 1, and this version has 2; begin a new file"),
        (lambda lines: [lines[0].replace("2026-01-01T", "yesterday "), *lines[1:]], "line 1: damaged"),
        (lambda lines: [re.sub(r'"value": [^,]+', '"value": NaN', lines[0]), *lines[1:]], "must be a finite number"),
        (lambda lines: [re.sub(r'"value": [^,]+', '"value": null', lines[0]), *lines[1:]], "a number without a value"),
        (lambda lines: [lines[0], lines[1].replace('"higher"', '"up"'), lines[2]], "direction is 'up'"),
        (lambda lines: [lines[0], '{"a": ' * 5000, lines[2]], "line 2: damaged"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_and_nothing_is_added(tmp_path, file, capsys, change, said):
    three_runs(tmp_path, file)
    damaged = "\n".join(change(file.read_text().splitlines())) + "\n"
    file.write_text(damaged)
    new = run_folder(tmp_path / "new", commit="d" * 40)
    error = refusal(history.main, capsys, new, "--file", file)
    assert said in error and f"{file}" in error
    assert file.read_text() == damaged


def test_a_line_that_was_cut_off_is_not_written_on(tmp_path, file):
    three_runs(tmp_path, file)
    file.write_text(file.read_text()[:-10])
    with pytest.raises(UserError, match="line 3: was not written to its end"):
        add(file, [entry_of(run_folder(tmp_path / "new", commit="d" * 40))])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere/run.json: no such file"),
        (["run", "--commit", "HEAD"], "'HEAD' is not a commit's hash"),
        (["run", "run", "--commit", "a" * 40], "give one RUN with it"),
        ([], "no such file"),
        (["run", "--badge", "b.json", "--badge-metric", "fid"], "no headline 'fid' for the badge; there are DiffAE ssim"),
        (["run", "--page", "nowhere/page.html"], "nowhere/page.html"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    run_folder(tmp_path / "run")
    error = refusal(history.main, capsys, *arguments, "--file", "h.jsonl")
    assert said.lower() in error.lower()


def test_the_commit_may_be_given(tmp_path):
    run = run_folder(tmp_path / "run", commit=None)
    assert entry_of(run, "c" * 40).commit == "c" * 40
    assert entry_of(run, "c" * 40).id != entry_of(run, "d" * 40).id


# ----------------------------------------------------------------------------------------------
# Exports


def test_the_badge_is_what_shields_reads(tmp_path, file):
    entry = three_runs(tmp_path, file)[-1]
    content = json.loads(badge(entry, "ssim", "DiffAE"))
    assert content.keys() == {"schemaVersion", "label", "message", "color"}
    assert content["schemaVersion"] == 1 and content["label"] == "DiffAE SSIM"
    assert re.fullmatch(r"0\.93\d\d ± 0\.0014", content["message"])


def test_the_json_of_the_action_has_each_headline_by_its_direction(tmp_path, file):
    entry = three_runs(tmp_path, file)[-1]
    (bigger,), (smaller,) = (json.loads(for_action(entry, d)) for d in ("higher", "lower"))
    assert bigger["name"] == "DiffAE, SSIM of reconstruction" and "MSE" in smaller["name"]
    assert isinstance(bigger["value"], float) and bigger["unit"] == "SSIM"
    assert bigger["range"] == f"± {SSIM.std(ddof=1) / 200**0.5:.3g}" and "n: 200" in bigger["extra"]


# ----------------------------------------------------------------------------------------------
# The page


def test_a_figure_has_every_run_with_its_interval(tmp_path, file):
    ssim, mse = figures(list(enumerate(three_runs(tmp_path, file))), by_images=False)
    assert ssim["plot"].title == "SSIM ↑" and mse["plot"].title == "MSE ↓"
    (line,) = ssim["plot"].key
    assert [p.x for p in line.points] == [0, 1, 2]
    half = 1.972 * SSIM.std(ddof=1) / 200**0.5  # Student's t of 199
    assert line.points[2].y == pytest.approx(SSIM.mean() - 0.02)
    assert line.points[2].high - line.points[2].y == pytest.approx(half, rel=1e-3)
    assert [cells[1] for cells, _ in ssim["rows"]] == ["c" * 9, "b" * 9, "a" * 9]


@pytest.mark.parametrize("other", [{"protocol": "p9"}, {"metric": "fid", "n": 118}])
def test_a_line_is_broken_where_the_protocol_is_another(tmp_path, file, other):
    """And where n is, of a metric that depends on it."""
    entries = three_runs(tmp_path, file)
    same = {name: other[name] for name in other if name == "metric"}
    numbers = {i: replace(entry.numbers[0], **same) for i, entry in enumerate(entries)}
    numbers[2] = replace(numbers[2], **other)
    first, second = lines_of(0, numbers)
    assert [p.x for p in first.points] == [0, 1] and [p.x for p in second.points] == [2]
    assert first.name == second.name == "DiffAE" and first.colour == second.colour


def test_names_stay_names(tmp_path, file):
    add(file, [entry_of(run_folder(tmp_path / "run", {(HOSTILE, HOSTILE, "ssim"): SSIM}))])
    page = render(read_history(file))
    assert "<script" not in page and "<img" not in page
    assert "&lt;script&gt;alert(1)" in page
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src &#39;none&#39;") and "unsafe" not in policy


def test_the_page_opens_in_a_browser_without_a_complaint(tmp_path, file, tab):
    three_runs(tmp_path, file)
    page = tmp_path / "trend.html"
    history.main(["--file", str(file), "--page", str(page)])
    for width in (400, 1600):
        with visiting(tab, page, width):
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.locator("svg[role=img]").count() == 2
            tab.locator("summary").first.click()
            assert tab.get_by_text("aaaaaaaaa").first.is_visible()


def test_what_is_written_is_of_the_newest_run_whenever_it_was_added(tmp_path, file, capsys):
    """And the command says how many runs are new, and of a single one what is missing."""
    outputs = ["--file", file, "--badge", tmp_path / "badge.json", "--page", tmp_path / "page.html"]
    outputs += ["--github-action-benchmark", tmp_path / "action"]
    newer, older, oldest = (
        run_folder(tmp_path / letter, {KEY: SSIM - i / 10, MSE: SSIM / 1e3}, letter * 40, 3 - i)
        for i, letter in enumerate("abc")
    )

    def said(*runs):
        history.main([*map(str, runs), *map(str, outputs)])
        return capsys.readouterr().out.splitlines()

    assert said(newer) == [
        f"{file}: 1 of 1 runs added",
        f"{file}: one run so far, 2 headlines; add the next commit's",
    ]
    badge_of_newer = (tmp_path / "badge.json").read_text()
    assert f'"{SSIM.mean():.4f} ± ' in badge_of_newer.replace("\\u00b1", "±")
    assert said(newer, older) == [f"{file}: 1 of 2 runs added, the others are there already"]
    assert said(older, oldest, oldest) == [
        f"{file}: 1 of 3 runs added, the others are there already"
    ]
    assert said(oldest) == [f"{file}: 0 of 1 runs added, the others are there already"]
    assert said() == []
    assert (tmp_path / "badge.json").read_text() == badge_of_newer
    (higher,), (lower,) = (
        json.loads((tmp_path / f"action-{name}.json").read_text()) for name in ("bigger", "smaller")
    )
    assert higher["value"] == pytest.approx(SSIM.mean()) and lower["value"] < 0.001
    page = (tmp_path / "page.html").read_text()
    assert "<dd>3</dd>" in page and "aaaaaaaaa, version 0.6.0" in page
