"""Exceptions: something is missing here, or a system failed."""

from typing import Self

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
