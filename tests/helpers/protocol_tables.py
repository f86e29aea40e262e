"""The tables of docs/results/protocols.md and published.md, made of the protocols' files and published numbers.

PYTHONPATH=. python tests/helpers/protocol_tables.py        writes them anew, between their markers
"""

import csv
from itertools import groupby
from pathlib import Path

from benchmarks.metrics.protocols import schema
from benchmarks.reference.protocols import HEADINGS
from benchmarks.reference.tables import table
from reports.records import representations
from reports.records.tokenizers import SECOND_HAND

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "protocols.md"
READ = ROOT / "docs" / "results" / "protocols.md"
NUMBERS = ROOT / "docs" / "results" / "published.md"
FILE = ROOT / "reports" / "published" / "tokenizers.csv"
METRICS = HEADINGS | {"psim": "PSIM"}
OF_CODES = {"ifid": "iFID", "gfid": "gFID"}


def of_traps():
    notes = ((name, schema.named(name)) for name in schema.names())
    return "\n".join(f"- `{name}` (`{one.code}`): {one.note}" for name, one in notes if one.note)


def of_reading():
    """Where and when the code of each protocol was read, and what could not be."""
    rows = []
    for name in schema.names():
        one = schema.named(name)
        if name != schema.PLAIN:
            repository = one.code.split("@")[0]
            url = f"https://github.com/{repository}/tree/{one.commit}"
            commit = f"[{one.commit[:7]}]({url})"
            rows.append([f"`{name}`", repository, commit, one.read, one.unread])
    return table(rows, ["protocol", "repository", "commit", "read on", "not read"])


# ----------------------------------------------------------------------------------------------
# Published numbers


def _value(row):
    reference = row["reference"] if row["reference"] not in ("", "the same crops") else ""
    spread = f" ± {row['spread']}" if row["spread"] else ""
    return row["value"] + spread + (f" ({reference})" if reference else "")


def _where(row):
    size = f", {row['resolution']} px" if row["resolution"] else ""
    return f"{row['set']}, {int(row['n']):,}{size}" if row["set"] else "not stated"


def of_numbers():
    """A row for each source of a checkpoint's numbers on a set; numbers as the file has them."""

    def key(row):
        return row["checkpoint"], _where(row), row["protocol"], row["source"], row["mark"]

    lines = []
    with FILE.open(encoding="utf-8", newline="") as file:
        for (checkpoint, where, protocol, source, mark), found in groupby(
            csv.DictReader(file), key
        ):
            rows = list(found)
            cells = [
                ", ".join(_value(row) for row in rows if row["metric"] == metric)
                for metric in METRICS | OF_CODES
            ]
            said = source + " (**second-hand**)" * (mark == SECOND_HAND)
            lines.append([checkpoint, where, *cells, f"`{protocol}`" if protocol else "", said])
    return table(
        lines, ["checkpoint", "images", *METRICS.values(), *OF_CODES.values(), "protocol", "source"]
    )


def of_code_numbers():
    """A row for each code, data set and source of numbers of codes."""

    def key(one):
        return one.system, one.data, one.protocol, one.source, one.mark

    rows = []
    for (system, data, protocol, source, mark), found in groupby(
        sorted(representations.published(), key=lambda one: (one.data, one.protocol, key(one))), key
    ):
        numbers = [f"`{n.metric}` {n.value}{f' ± {n.spread}' * bool(n.spread)}" for n in found]
        said = source + " (**second-hand**)" * (mark == SECOND_HAND)
        rows.append([system, data, ", ".join(numbers), f"`{protocol}`" * bool(protocol), said])
    return table(rows, ["code", "data", "numbers", "protocol", "source"])


TABLES = {
    "codes": (NUMBERS, of_code_numbers),
    "traps": (READ, of_traps),
    "read": (READ, of_reading),
    "numbers": (NUMBERS, of_numbers),
}


def between(page, name):
    """A page's text before, between and after the markers of a table."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name} -->\n")
    made, end, after = rest.partition(f"<!-- end of {name} -->")
    assert begin and end, f"{page}: no markers of {name}"
    return before + begin, made, end + after


def renew():
    for name, (page, make) in TABLES.items():
        before, _, after = between(page, name)
        page.write_text(f"{before}\n{make()}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    renew()
