"""The board: what shares a group, the errors of differences, and the page in a browser."""

import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urljoin, urlsplit

import numpy as np
import pytest
from axe_rules import violations
from runs import HARMFUL, TABLE1, changed, number, write_card, write_entry
from runs import OF_ENTRIES as FIELDS

from reports.page import write_board
from reports.page.board import _group, _name, _references, groups_of, rankings_of
from reports.records.entries import read_entries
from reports.records.metrics import METRICS
from reports.records.record import LOWER
from reports.records.run_folder import read_run

rng = np.random.default_rng(0)
SCORES, OTHERS = rng.normal(0.9, 0.02, 50), rng.normal(0.8, 0.02, 40)
SIZES = {"DiffAE": 10.0, "DDIM": 100.0, "VQ-GAN": 1000.0}


def sizes(of=SIZES):
    return tuple(
        number(TABLE1, "latent_dim", size, system=name, direction="neither", n=None)
        for name, size in of.items()
    )


@pytest.fixture(scope="module")
def entries(tmp_path_factory) -> list[Path]:
    """Two on one data set by one protocol, one by another, and one on other data."""
    folder = tmp_path_factory.mktemp("entries")
    three = {"DiffAE": SCORES, "DDIM": SCORES - 0.001, "VQ-GAN": SCORES - rng.normal(0.1, 0.02, 50)}
    real = number(TABLE1, "ssim", 0.97, stderr=0.01, system="real images", reference=True)
    return [
        write_entry(folder / "ours", three, others=(*sizes(), real)),
        write_entry(folder / "theirs", {"NVAE": OTHERS}, units="others"),
        write_entry(folder / "valid", {"NVAE": OTHERS}, FIELDS | {"ssim": "valid"}),
        write_entry(folder / "clothes", {"DiffAE": OTHERS}, dataset="fashion-mnist"),
    ]


def groups(folders):
    return groups_of([entry.run for entry in read_entries(folders)])


def rankings(group, metric=""):
    """The rankings of Table 1, of a metric if it is given."""
    (spec,) = (spec for spec in group.specs if spec.name == TABLE1)
    return [table for table in rankings_of(spec, group) if table.title.startswith(metric)]


def texts(ranking):
    """The rows of a ranking, as text by the headers."""
    (panel,) = ranking.panels
    rows = [[cell.text + cell.errors for cell in row] for row in panel.rows]
    return [dict(zip(panel.headers, row, strict=True)) for row in rows]


def column(ranking, header):
    return [row[header] for row in texts(ranking)]


def test_only_what_was_measured_alike_shares_a_group(entries):
    names = [[run.label for run in found.sources] for found in groups(entries)]
    assert names == [["ours", "theirs"], ["valid"], ["clothes"]]


def test_a_suite_makes_a_group_of_its_own_whose_title_has_its_hash(tmp_path):
    """Also of two hashes under one name: neither is the other."""
    suites = {
        "a": ("s-v1", "0" * 64),
        "b": None,
        "c": ("s-v1", "0" * 64),
        "d": ("s-v1", "1" * 64),
        "e": None,
    }
    folders = []
    for name, suite in suites.items():
        settings = {"profile": {"name": "mine"}}
        settings |= {"suite": dict(zip(("name", "sha256"), suite, strict=True))} if suite else {}
        folders.append(write_entry(tmp_path / name, {name: SCORES}, settings=settings))
    found = groups_of([read_run(folder, folder.name) for folder in folders])
    assert [[run.label for run in g.sources] for g in found] == [["a", "c"], ["b", "e"], ["d"]]
    titles = [_group(i, g, {})["title"] for i, g in enumerate(found)]
    assert titles == [
        "portraits, suite s-v1 (000000000000)",
        "portraits, profile mine",
        "portraits, suite s-v1 (111111111111)",
    ]


def test_a_distance_of_another_n_makes_another_group(tmp_path):
    def run(name, n, metric):
        distance = number(TABLE1, metric, 5.0, stderr=0.1, direction=LOWER, n=n)
        return write_entry(tmp_path / name, {name: SCORES}, others=(distance,))

    alike = [run("a", 100, "rfid"), run("b", 100, "rfid"), run("c", 300, "rfid")]
    names = [[run.label for run in found.sources] for found in groups(alike)]
    assert names == [["a", "b"], ["c"]]


def test_errors_of_differences_are_those_of_paired_means(entries):
    (ranking,) = rankings(groups(entries)[0])
    rows = {row["system"]: row for row in texts(ranking)}
    assert list(rows) == ["real images", "DiffAE", "DDIM", "VQ-GAN", "NVAE"]  # best first

    def behind(name):
        size, _, stderr = rows[name]["behind the best"].partition(" ± ")
        return float(size), float(stderr), rows[name]["how sure"]

    change = SCORES - scores_of_vqgan(entries[0])
    size, stderr, word = behind("VQ-GAN")
    assert (size, word) == (pytest.approx(change.mean(), abs=1e-4), "paired, beyond noise")
    assert stderr == pytest.approx(change.std(ddof=1) / math.sqrt(50), abs=1e-4)
    errors = [x.std(ddof=1) / math.sqrt(len(x)) for x in (SCORES, OTHERS)]
    _, stderr, word = behind("NVAE")
    assert (stderr, word) == (
        pytest.approx(math.hypot(*errors), abs=1e-4),
        "unpaired, beyond noise",
    )
    assert rows["DiffAE"]["behind the best"] == "" and rows["DiffAE"]["how sure"] == "best"
    assert rows["real images"]["behind the best"].startswith("better by 0.")


def scores_of_vqgan(folder):
    rows = [line.split(",") for line in (folder / "samples.csv").read_text().splitlines()]
    system, score = rows[0].index("system"), rows[0].index("ssim")
    return np.array([float(row[score]) for row in rows if row[system] == "VQ-GAN"])


def test_references_of_another_n_give_no_scale(tmp_path):
    fid = number(TABLE1, "rfid", 5.0, stderr=0.1, direction=LOWER, n=50)
    real = replace(fid, system="real images", reference=True)
    others = (fid, real, changed(real, n=500, system="real images, n = 500"))
    (found,) = groups([write_entry(tmp_path / "a", {"DiffAE": SCORES}, others=others)])
    (distance,) = rankings(found, "rFID")
    assert column(distance, "system") == ["DiffAE", "real images"]


def test_a_number_is_traded_for_the_code_of_its_own_setting_or_the_only_one_of_its_system(tmp_path):
    """The only one with inverted noise, or without it, as the number's own code has it or not."""
    size = replace(sizes({"A": 12.0})[0], setting="x_T random")
    larger = changed(size, value=3084.0, setting="x_T inverted")
    other = changed(size, system="B", value=7.0)
    scored = [number(TABLE1, "rfid", 20.0 + i, stderr=0.1, direction=LOWER, n=50) for i in range(4)]
    at = [("A", "x_T random"), ("A", "x_T inverted"), ("A", "x_T fixed"), ("B", "x_T fixed")]
    rows = [replace(r, system=a, setting=b) for r, (a, b) in zip(scored, at, strict=True)]
    folder = write_entry(tmp_path / "a", {"A": SCORES}, others=(size, larger, other, *rows))
    (found,) = groups([folder])
    shown = [row for ranking in rankings(found, "rFID") for row in texts(ranking)]
    sizes_of = {row["value"].partition(".")[0]: row["code size"] for row in shown}
    assert sizes_of == {"20": "12", "21": "3,084", "22": "12", "23": "7"}


def test_the_first_ranking_is_of_codes_without_inverted_noise(tmp_path):
    """Also where more systems have it; theirs is named after it, and comes next."""
    rows = [
        number(TABLE1, "mse", v, stderr=1e-6, system=s, setting=f"x_T {x}")
        for s, v, x in (("A", 1e-5, "inverted"), ("B", 2e-5, "inverted"), ("A", 0.02, "random"))
    ]
    rows += [number(TABLE1, "mse", 0.01, stderr=1e-6, system="mine")]
    (group,) = groups([write_entry(tmp_path / "a", {}, others=tuple(rows))])
    first, second = rankings(group)
    assert column(first, "system") == ["mine", "A, x_T random"]
    assert column(second, "system") == ["A", "B"]
    assert first.title == "MSE ↓"
    assert second.title == "MSE ↓, x_T inverted, code and inverted noise"
    for ranking in (first, second):
        bold = [cell.best for row in ranking.panels[0].rows for cell in row if cell.record]
        assert bold == [True, False] and column(ranking, "place") == ["1", "2"]


# ----------------------------------------------------------------------------------------------
# In a browser


@pytest.fixture(scope="module")
def board(entries, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("board") / "board.html"
    write_board(path, read_entries(entries), path.parent)
    return path


@pytest.fixture
def visit(visited, board):
    return visited(board).page


def rows(page):
    """The cells of the first ranking."""
    return [
        [cell.inner_text() for cell in row.locator("th, td").all()]
        for row in page.locator(".group table").first.locator("tbody tr").all()
    ]


def test_a_metric_is_ranked_with_the_difference_to_the_best(visit):
    shown = rows(visit)
    assert [row[0:3:2] for row in shown] == [
        ["real images", ""], ["DiffAE", "1"], ["DDIM", "2"], ["VQ-GAN", "3"], ["NVAE", "4"],
    ]  # fmt: skip
    by_name = {row[0]: row for row in shown}
    assert float(by_name["DDIM"][5]) == pytest.approx(0.001)
    assert by_name["DDIM"][6] == "paired, beyond noise"
    assert (by_name["DDIM"][4], by_name["NVAE"][4]) == ("50", "40")  # n
    assert by_name["NVAE"][6] == "unpaired, beyond noise"
    assert by_name["real images"][5].startswith("better by ")
    assert by_name["DDIM"][1] == "100" and by_name["NVAE"][7] == "theirs"
    assert visit.locator(".group tbody strong").first.inner_text() in by_name["DiffAE"][3]


def test_every_group_has_its_rankings(visit):
    groups = visit.locator(".group").all()
    assert [group.locator("tbody tr").count() for group in groups] == [5, 1, 1]
    assert [group.locator("table").is_visible() for group in groups] == [True] * 3


def test_numbers_are_sorted_and_opened(visit):
    table = visit.locator(".group table").first
    table.locator("thead").get_by_role("button", name="value").click()
    assert rows(visit)[0][0] == "NVAE"
    table.locator("[data-number] button").first.click()
    dialog = visit.get_by_role("dialog")
    assert "SSIM: NVAE" in dialog.inner_text() and "zero padding" in dialog.inner_text()
    visit.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_an_entry_has_its_card_command_and_files(visit, entries, board):
    card = visit.locator("#e-ours")
    assert "Small models, measured for a test." in card.inner_text()
    links = [link.get_attribute("href") for link in card.locator(".files a").all()]
    assert [Path(link).name for link in links] == [
        "records.csv", "samples.csv", "influences.npz", "run.json",
    ]  # fmt: skip
    assert all((board.parent / link).resolve().is_file() for link in links)
    names, texts = (card.locator(tag).all_inner_texts() for tag in ("dt", "dd"))
    facts = dict(zip(names, texts, strict=True))
    assert facts["Taken again"] == "4 of 7 numbers, from samples.csv"
    assert facts["Only by measuring again"] == "latent_dim"


def test_links_to_files_are_encoded(visited, tmp_path):
    folder = write_entry(tmp_path / "50 % of #1?" / "mine", {"A": SCORES})
    write_board(tmp_path / "board.html", read_entries([folder]), tmp_path)
    page = visited(tmp_path / "board.html").page
    links = [link.get_attribute("href") for link in page.locator(".files a").all()]
    assert len(links) == 4
    for link in links:
        assert Path(unquote(urlsplit(urljoin((tmp_path / "b").as_uri(), link)).path)).is_file()


def test_without_scripts_every_ranking_is_there(browser, board):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(board.as_uri())
    assert page.locator(".group").count() == 3
    assert len(rows(page)) == 5 and page.locator(".group table").first.is_visible()
    context.close()


@pytest.mark.parametrize("width", [320, 1400])
def test_the_page_never_scrolls_sideways(visited, board, width):
    visit = visited(board, width)
    visit.unfold()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_names_that_mean_harm_do_none(visited, tmp_path):
    entry = write_entry(tmp_path / "a", dict.fromkeys(HARMFUL, SCORES), dataset=HARMFUL[0])
    write_card(entry, title="'a' | b % {{ 7 * 7 }} & <img src=x>")
    write_board(tmp_path / "board.html", read_entries([entry]), tmp_path)
    visit = visited(tmp_path / "board.html")
    page = visit.page
    assert page.title().startswith("Board") and page.locator("img").count() == 0
    assert {row[0] for row in rows(page)} == set(HARMFUL)
    assert "{{ 7 * 7 }}" in page.locator("#e-a h3").inner_text()
    assert len(visit.asked) == 1 and re.search("default-src 'none'", page.content())


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(browser, board, scheme):
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(board.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert violations(page) == []
    context.close()


@pytest.mark.parametrize(
    ("changes", "taken"),
    [
        ({}, True),
        ({"reference": False}, False),
        ({"metric": "rkid"}, False),
        ({"dataset": "others"}, False),
        ({"split": "train"}, False),
        ({"n": 51}, False),
        ({"setting": "another"}, False),
        ({"steps": None}, True),
        ({"steps": 20}, True),
        ({"steps": 30}, False),
        ({"steps": 0}, False),
        ({"solver": "another"}, True),
    ],
)
@pytest.mark.parametrize("settings", [1, 2])
def test_a_reference_of_a_ranking_was_measured_as_its_systems_were(settings, changes, taken):
    """At T of one of them if it takes steps; at any setting where theirs differ."""
    first = number(TABLE1, "rfid", 5.0, direction=LOWER, n=50, setting="s0", steps=10)
    rivals = [replace(first, setting=f"s{i % settings}", steps=10 * (i + 1)) for i in range(2)]
    reference = changed(first, **({"system": "real images", "reference": True} | changes))
    found = _references(rivals, [*rivals, reference], SimpleNamespace(metrics=METRICS))
    assert found == [reference] * (taken or (settings == 2 and "setting" in changes))
    if "n" in changes:  # which does not matter for a mean over images
        rivals, one = ([replace(r, metric="ssim") for r in part] for part in (rivals, [reference]))
        assert _references(rivals, one, SimpleNamespace(metrics=METRICS)) == one


def test_a_ranking_is_named_by_what_its_numbers_share():
    base = number(TABLE1, "rfid", 5.0, direction=LOWER, setting="s", steps=None)
    at_ten = replace(base, steps=10, solver="ab2-v")
    for rivals, others, name in (
        ([base, replace(base, system="B")], [], "rFID ↓, s"),
        ([base, replace(base, setting="u")], [], "rFID ↓"),
        ([base], [replace(base, dataset="others")], "rFID ↓, portraits, s"),
        ([at_ten], [], "rFID ↓, s, T = 10 by fast"),
        ([base, at_ten], [], "rFID ↓, s"),
    ):
        assert _name(rivals, SimpleNamespace(metrics=METRICS, rows=[*rivals, *others])) == name


def test_rows_of_a_ranking_are_of_one_line(visited, tmp_path):
    names = [f"System {i:02}, with a long name of several words" for i in range(9)]
    folder = write_entry(tmp_path / "a", dict.fromkeys(names, SCORES))
    write_board(tmp_path / "board.html", read_entries([folder]), tmp_path)
    page = visited(tmp_path / "board.html", 700).page
    lines = page.locator(".group tbody tr").all()
    heights = [round(line.bounding_box()["height"]) for line in lines]
    assert max(heights) - min(heights) <= 1 and max(heights) < 45


def test_rankings_come_in_the_order_of_their_table(tmp_path):
    """Whatever was measured first."""
    others = [
        number(
            TABLE1, m, 5.0, stderr=0.1, direction=METRICS[m].direction, n=50, unit=METRICS[m].unit
        )
        for m in ("psnr", "rfid", "mse", "lpips")
    ]
    orders = []
    for name, given in (("a", others), ("b", others[::-1])):
        (found,) = groups([write_entry(tmp_path / name, {"DiffAE": SCORES}, others=tuple(given))])
        (spec,) = (s for s in found.specs if s.name == TABLE1)
        orders.append([ranking.title.split()[0] for ranking in rankings(found)])
    metrics = [m for m in spec.in_order if m in ("ssim", "psnr", "rfid", "mse", "lpips")]
    assert orders == [[METRICS[m].label.split()[0] for m in metrics]] * 2
