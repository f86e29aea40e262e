"""The page in a browser, by mouse and by keyboard."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from axe_rules import violations
from playwright.sync_api import expect
from runs import HARMFUL, harmful
from visits import Visit

from diffae.sheet import Sheet
from diffae.sheet import write as write_sheet
from reports.page import write
from reports.records.record import read_records

BASELINE = Path(__file__).parents[3] / "benchmarks/baseline"


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """The page of the baseline, with sheets of pictures."""
    run = shutil.copytree(BASELINE, tmp_path_factory.mktemp("page") / "run")
    (run / "pictures").mkdir()
    faces = torch.rand(2, 3, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    about = {"benchmark": "reconstruction", "system": "DiffAE"}
    for name, count in (("reconstruction", 3), ("the worst reconstructions", 2)):
        shown = [row[:count] for row in faces]
        sheet = Sheet(f"DiffAE: {name}", shown, rows=("input", "decoded"), about=about)
        write_sheet(run / f"pictures/{name}.png", sheet)
    write(run / "report.html", [run])
    return run / "report.html"


@pytest.fixture
def visit(visited, report) -> Iterator[Visit]:
    visit = visited(report, 1600)
    yield visit
    assert all(url == visit.own or url.startswith("data:") for url in visit.asked)


TABLE1 = "#t-table1_reconstruction"


def test_a_column_sorts_by_value_with_what_has_none_last(visit):
    heads = visit.page.locator(f"{TABLE1} thead th")
    names = [name.split("\xa0")[0] for name in heads.all_inner_texts()]
    column = next(i for i, name in enumerate(names) if name.startswith("rfd_effnet"))
    before = visit.column(TABLE1, column)
    expected = sorted(
        r.value for r in read_records(BASELINE / "records.csv")
        if r.metric == "rfd_effnet" and r.value is not None
    )  # fmt: skip
    for order, values in (("ascending", expected), ("descending", expected[::-1])):
        heads.nth(column).get_by_role("button").click()
        assert heads.nth(column).get_attribute("aria-sort") == order
        texts = visit.column(TABLE1, column)
        assert [float(text.split(" ")[0].replace(",", "")) for text in texts[:-1]] == [
            pytest.approx(value, abs=0.006) for value in values
        ]
        assert texts[-1] == "–"
    heads.nth(column).get_by_role("button").click()
    assert visit.column(TABLE1, column) == before
    assert heads.nth(column).get_attribute("aria-sort") == "none"


def test_sorting_by_another_column_leaves_one_sorted(visit):
    heads = visit.page.locator(f"{TABLE1} thead th")
    for index in (0, 6):
        heads.nth(index).get_by_role("button").click()
    assert visit.page.locator(f"{TABLE1} thead [aria-sort=ascending]").count() == 1


def test_rows_are_filtered_by_every_word(visit):
    identity = "#t-appendix_g_identity"
    box = visit.page.locator(identity).get_by_role("searchbox")
    rows = visit.page.locator(f"{identity} tbody tr")
    box.fill("people DIFFERENT")
    shown = [row for row in rows.all() if row.is_visible()]
    assert len(shown) == 1 and "different people" in shown[0].inner_text()
    assert visit.page.locator(f"{identity} output").inner_text() == f"1 of {rows.count()} rows"
    box.fill("")
    assert all(row.is_visible() for row in rows.all())


def test_a_number_opens_by_click_and_closes_by_escape(visit):
    button = visit.page.locator(f"{TABLE1} [data-number] button").first
    button.click()
    dialog = visit.page.get_by_role("dialog")
    text = dialog.inner_text()
    assert "DiffAE" in text and "protocol" in text and "decoding_steps" in text
    visit.page.keyboard.press("Escape")
    assert not dialog.is_visible()
    assert button.evaluate("button => button === document.activeElement")


def test_numbers_are_reached_by_arrow_keys_and_opened_by_enter(visit):
    table = visit.page.locator(f"{TABLE1} table")
    assert table.locator("tbody button[tabindex='0']").count() == 1
    first = table.locator("tbody button").first
    first.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    name = visit.page.locator("#number-name").inner_text()
    row = table.locator("tbody tr").nth(1)
    assert row.locator("th").inner_text() in name and "DiffAE, x_T random" in name
    assert table.locator("tbody button[tabindex='0']").count() == 1


def test_the_first_screen_shows_who_is_better_the_images_and_the_plot(visit):
    """A number of the first table opens like all others, and the plot has a mark for each system."""
    first = visit.page.locator("#headlines")
    heads = first.locator("thead th").all_inner_texts()
    assert [head.split("\n")[0] for head in heads[3:]] == ["DiffAE", "DDIM", "references"]
    assert "code of 256" in heads[3] and "inverted noise 3,072" in heads[4]
    first.locator("td button").first.click()
    assert visit.page.locator("#number-name").inner_text().startswith("SSIM: DiffAE, x_T random")
    assert first.locator(".key li").count() == 2
    assert first.locator(".cautions li").count() in range(1, 6)


def test_the_skip_link_is_the_first_stop_and_leads_to_the_results(visit):
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the results"
    visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("document.activeElement.id") == "main"


def test_a_section_shows_a_table_a_plot_and_a_picture_and_a_link_unfolds_the_rest(visit):
    sections = visit.page.locator("main > section:has(> .shown)")
    shown = """all => all.map(section => [...section.querySelectorAll("details.table, .plot, details.pictures")]
      .filter(e => e.checkVisibility()).map(e => e.classList[0]).join(" "))"""
    kinds = set(sections.evaluate_all(shown))
    assert {"table plot", "table plot pictures"} <= kinds
    assert kinds <= {"table", "table plot", "table pictures", "table plot pictures"}
    folded = visit.page.locator("#t-table2_ablation")
    assert not folded.is_visible()
    visit.page.evaluate("location.hash = 't-table2_ablation'")
    expect(folded).to_be_visible()


def test_a_metric_says_what_it_is_to_mouse_and_keyboard(visit):
    head = visit.page.locator(f"{TABLE1} thead th", has_text="SSIM").first
    about = head.locator("abbr").get_attribute("title")
    assert about.startswith("SSIM") and "higher is better" in about
    head.get_by_role("button").focus()
    expect(visit.page.locator(".tip")).to_be_visible()
    expect(visit.page.locator(".tip")).to_have_text(about)
    visit.page.locator(f"{TABLE1} tbody button").first.focus()
    assert not visit.page.locator(".tip").is_visible()


def test_a_close_up_opens_the_whole_and_a_picture_that_is_repeated_is_there(visit):
    cells = visit.page.locator("#close-ups img")
    sizes = "all => all.map(i => [i.naturalWidth, i.getBoundingClientRect().width])"
    assert cells.evaluate_all(sizes) == [[128, 128]] * 6
    visit.unfold()
    assert visit.page.locator("img:not([src])").count() == 0
    for place in (1, 2):  # an output, which is further below, and an error, which is not
        cells.nth(place).click()
        whole = visit.page.locator("#picture img")
        expect(whole).to_be_visible()
        expect(whole).to_have_js_property("naturalWidth", 160)
        visit.page.keyboard.press("Escape")


def test_the_page_has_its_landmarks_and_named_tables(visit):
    for role in ("banner", "navigation", "main"):
        assert visit.page.get_by_role(role).count() == 1
    captions = "tables => tables.map(table => table.caption?.textContent.trim())"
    assert all(visit.page.locator("table").evaluate_all(captions))
    visit.page.get_by_role("table", name="Table 1: reconstruction").wait_for()


def test_what_is_wider_than_the_page_says_so_and_fades_where_it_goes_on(visited, report):
    visit = visited(report)
    visit.unfold()
    edge = "(e) => [e.scrollWidth > e.clientWidth, getComputedStyle(e).maskImage != 'none',"
    edge += " getComputedStyle(e, '::after').content.includes('scroll sideways')]"
    regions = visit.page.locator(".scroll")
    expect(visit.page.locator("#headlines .wider, #headlines.wider, .wider")).not_to_have_count(0)
    found = map(tuple, regions.evaluate_all(f"all => all.map({edge})"))
    assert set(found) == {(True, True, True), (False, False, False)}
    wide = visit.page.locator(f"{TABLE1} .scroll")
    wide.evaluate("e => { e.scrollLeft = e.scrollWidth }")
    expect(visit.page.locator(f"{TABLE1} .more-right")).to_have_count(0)
    assert wide.evaluate(edge) == [True, False, True]


BROKEN = """() => {
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); ) {
    if (text.parentElement.closest("#how")) continue;
    for (const match of text.data.matchAll(/(?<!\\w)-?\\d[\\d.,]*(e[-+]\\d+)?(?!\\w)/g)) {
      const range = document.createRange();
      range.setStart(text, match.index);
      range.setEnd(text, match.index + match[0].length);
      const lines = [...range.getClientRects()].filter((r) => r.width > 0).map((r) => Math.round(r.top));
      if (new Set(lines).size > 1) found.push(`${match[0]} of ${text.data}`);
    }
  }
  return found;
}"""


@pytest.mark.parametrize(("width", "media"), [(320, "screen"), (1600, "screen"), (800, "print")])
def test_the_page_itself_never_scrolls_sideways_and_no_line_ends_inside_a_number(
    visited, report, width, media
):
    visit = visited(report, width)
    visit.page.emulate_media(media=media)
    visit.unfold()
    assert visit.page.evaluate(BROKEN) == []
    if media == "screen":
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
    ends = "e => [...e.querySelectorAll('img')].map((i) => i.getBoundingClientRect().right)"
    if width > 400:
        assert max(visit.page.locator(".sheet").first.evaluate(ends)) <= width


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_that_keeps_people_out(browser, report, scheme):
    """Roles, names, order of headings, contrast: the rules of axe-core, with everything unfolded
    and a number open.
    """
    context = browser.new_context(bypass_csp=True, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(report.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    for open_number in (False, True):
        if open_number:
            page.locator("[data-number] button").first.click()
        assert violations(page) == []
    context.close()


def test_names_that_mean_harm_do_none(visited, tmp_path):
    run = harmful(tmp_path / "run")
    write(tmp_path / "report.html", [run])
    visit = visited(tmp_path / "report.html")
    visit.page.locator("[data-number] button").first.click()
    assert HARMFUL[0] in visit.page.get_by_role("dialog").inner_text()
    assert visit.page.title().startswith("Report: ")
    assert visit.page.locator("img[src=x]").count() == 0
    assert visit.asked == [visit.own]
