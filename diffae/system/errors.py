"""The exceptions that a person at the command line is meant to read."""

from collections.abc import Mapping, Sequence


class UserError(Exception):
    """Bad input: one clear line that names the file or flag and what to do about it.

    The command line prints the message on standard error and exits with status 2.
    """


class Terminated(KeyboardInterrupt):
    """SIGTERM came: like Ctrl-C, with the exit status that a batch system expects (143)."""


def reason(error: BaseException) -> str:
    """What an exception says, or its kind where it says nothing, or raises when it is asked."""
    return words(error) or type(error).__name__


def words(error: BaseException) -> str:
    """The text of an exception of anybody's on one line; empty where it raises when it is asked."""
    try:
        return " ".join(str(error).split())
    except Exception:
        return ""


def name_all(faults: Mapping[str, Sequence[str]], most: int = 10) -> str:
    """Faulty names by the kind of fault, as one line: "missing: a, b; left over: c". Empty if there are none."""
    texts = []
    for kind, names in faults.items():
        more = f" and {len(names) - most} more" if len(names) > most else ""
        if names:
            texts.append(f"{kind}: {', '.join(names[:most])}{more}")
    return "; ".join(texts)
