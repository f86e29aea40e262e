"""Why a number cannot be had: something is missing here, or a system broke."""

from typing import Self

from diffae.errors import UserError


class NotAvailable(Exception):
    """A metric or a system cannot be had here; the message is the reason that its row in the results gives."""


class SystemFailed(UserError):
    """A system broke its contract or raised: which, in which method, and how, in one line."""

    @classmethod
    def at(cls, system: str, method: str, reason: str) -> Self:
        return cls(f"system {system!r}, {method}: {reason}")
