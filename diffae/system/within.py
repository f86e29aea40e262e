"""Give up on a call that takes too long, whatever it waits for."""

from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """What `call` returns or raises. Raises TimeoutError if that takes more than `seconds`.

    The call is then left alone in a thread, which ends with the process at the latest. A time limit
    of a socket is of each single read: a server that sends a byte a second never meets it.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    for error in errors:
        raise error
    if not results:
        raise TimeoutError
    return results[0]
