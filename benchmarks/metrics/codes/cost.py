"""How long numbers take that are bound to axes.

They are computed for codes of at most 64 numbers, and of longer ones where they are asked for by
name.
"""

from contextlib import suppress
from dataclasses import replace
from time import perf_counter

from benchmarks.metrics.codes import axes, dci, votes
from benchmarks.metrics.codes.data import Codes
from benchmarks.metrics.codes.schema import NUMBERS, CodeProtocol
from benchmarks.metrics.codes.table import prepared
from diffae.system.errors import UserError

WIDEST = 64
SOME = 4  # dimensions
FEWER = 10  # times fewer votes


def seconds(name: str, codes: Codes, protocol: CodeProtocol, seed: int) -> float:
    """About how many seconds a metric bound to axes takes, measured on few dimensions or votes; so long
    take those that share its work, too. Raises UserError where it is undefined.
    """
    from sklearn import feature_selection, linear_model, svm  # noqa: F401, before the clock starts

    codes, _ = prepared(name, codes, protocol, seed)
    section, part = protocol.section(name), codes
    if isinstance(section, dci.Dci):
        return dci.seconds(codes, section, seed)
    if isinstance(section, votes.Votes):
        train, test = (count // FEWER or 1 for count in (section.train, section.test))
        share = FEWER * section.tables
        section = replace(section, tables=1, train=train, test=test)
    else:
        part = replace(codes, values=codes.values[:, :SOME])
        share = codes.values.shape[1] / part.values.shape[1]
        if isinstance(section, axes.Concepts):
            section = replace(section, concepts=0)
    start = perf_counter()
    with suppress(UserError):  # that these dimensions have no number
        NUMBERS[name].estimate(part, section, seed)
    return (perf_counter() - start) * share
