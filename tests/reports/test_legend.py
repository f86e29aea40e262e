"""What the line under a table explains: what the table has, and no more."""

import pytest
from runs import table1, write_run

from reports.make import main
from reports.tables.build import build_tables
from reports.tables.markdown import legend

ERROR = "±: one standard error."
FAST = "fast: the solver of that name"
BELOW = "Below 0: chance"
DIFFERENCE = "After a published value: ours minus it."
PARENTHESES = "In parentheses: published, not to be compared"
SENTENCES = (
    "Bold: ",
    ERROR,
    FAST,
    BELOW,
    DIFFERENCE,
    PARENTHESES,
    "With brackets",
    "measured alike",
)


def plain(value=0.5, metric="ssim", **changes):
    return table1("A", metric, value, table="plain", **changes)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (plain(), []),
        (plain(0.0, stderr=0.0), [ERROR]),
        (plain(None, stderr=0.1, note="why"), []),
        (plain(solver="ab2-v"), [FAST]),
        (plain(solver="dpm++2m"), []),
        (plain(-0.1, "kid"), [BELOW]),
        (plain(0.1, "kid"), []),
        (plain(-0.1, "id_portraits"), []),
        (plain(0.0, published=0.6), [DIFFERENCE]),
        (plain(published=0.6, published_metric="mse"), []),
        (plain(published=0.0, not_comparable="n"), [PARENTHESES]),
        (plain(12.0, "latent_dim", published=10.0), []),
    ],
)
def test_each_sentence_is_there_where_it_explains_something(record, expected):
    (_, table) = build_tables([record])
    text = legend(table)
    assert [sentence for sentence in SENTENCES if sentence in text] == expected


def test_the_page_of_a_report_has_its_tables_but_the_differences_and_the_overview(tmp_path):
    """Which the command writes beside them as files."""
    records = [table1("DiffAE", "ssim", 0.9, stderr=0.01), table1("DDIM", "ssim", 0.5, stderr=0.01)]
    times = [table1("A", "images_per_second", 2.0, table="section5.5_times", benchmark="cost")]
    run = write_run(tmp_path / "run", records, times=times)
    main([str(run), "--out", str(tmp_path / "out")])
    files = {path.stem for path in (tmp_path / "out/tables").glob("*.md")}
    page = (tmp_path / "out/report.html").read_text()
    shown = {name for name in files if f'id="t-{name}"' in page}
    assert "differences" in files and shown == files - {"differences", "overview"}
    papers = {path.stem for path in (tmp_path / "out/latex").glob("*.tex")}
    assert papers - {"tables"} == files - {"overview"}


@pytest.mark.parametrize(
    ("field", "values", "shown"),
    [
        ("split", ("test", "test"), False), ("split", ("test", ""), False),
        ("split", ("", ""), False), ("split", ("test", "train"), True),
        ("dataset", ("a", "a"), False), ("dataset", ("a", ""), False), ("dataset", ("a", "b"), True),
    ],
)  # fmt: skip
def test_data_and_split_are_columns_where_there_are_several(field, values, shown):
    """Numbers that are of no data, such as parameters, make no column."""
    records = [table1(f"s{i}", "ssim", 0.5, **{field: value}) for i, value in enumerate(values)]
    ((panel,),) = (table.panels for table in build_tables(records)[1:])
    assert ({"split": "split", "dataset": "data set"}[field] in panel.headers) == shown
