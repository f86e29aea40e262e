"""Exceptions: something is missing here, or a system failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from diffae.system import distributed
from diffae.system.errors import UserError


class NotAvailable(Exception):
    """A metric or a system is not available here. The message is the reason given in the results."""


class Wrong(Exception):
    """A method of a system returned what it must not return. The message says what."""


class SystemFailed(UserError):
    """A system broke its contract or raised: its name, the method and the reason, in one line."""

    @classmethod
    def at(cls, system: str, method: str, reason: str) -> Self:
        """The error of a method of a system."""
        return cls(f"system {system!r}, {method}: {reason}")


SHARED = {"failed": SystemFailed, "not available": NotAvailable}  # errors of one rank that are told


@contextmanager
def agreeing() -> Iterator[None]:
    """At the end of the block wait for all ranks; if one raised an error of SHARED, each raises such a one.

    Otherwise the ranks would continue at different places and wait for each other for ever. A
    ValueError means wrong data, which every rank finds by itself.
    """
    failure: Exception | None = None
    try:
        yield
    except (*SHARED.values(), ValueError) as error:
        failure = error
    mine = next((name for name, kind in SHARED.items() if isinstance(failure, kind)), "")
    said = distributed.agree(f"{mine}: {failure}" if mine else None)
    name, _, reason = (said or "").partition(": ")
    if failure is not None and (name == mine or not mine):
        raise failure
    if said is not None:  # of several kinds, all ranks raise the same
        raise SHARED[name](reason)
