"""Lookup by name: our entries, written as "module:attribute" with a line about each, and those of
plug-ins.

Our objects are imported on use: neither checking a name nor listing all of them imports one.

A package adds an entry by an entry point of the group (`diffae.systems`, `diffae.benchmarks`). A
plug-in that cannot be used is an error where it is asked for by name, and one line of warning where
all are listed.
"""

import importlib
import re
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Generic, NamedTuple, TypeVar

from diffae.system.cli import did_you_mean, printable
from diffae.system.errors import UserError, naming, words

T = TypeVar("T")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # goes into names of files and options


class Own(NamedTuple):
    """An entry of ours: where its object is ("module:attribute"), and its description in one line."""

    target: str
    line: str


class Registry(Generic[T]):
    """A lazy table of objects by name.

    `kind` is what messages call an entry, such as "system". `line` returns an object's description
    in one line. `accept` ("module:function") takes the name and object of a plug-in and returns it;
    it raises UserError if it is not acceptable. `beside` ("module:function") returns names that are no
    entries, and are suggested too when an unknown name is near one of them.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        own: dict[str, Own],
        line: Callable[[T], str],
        accept: str = "",
        beside: str = "",
    ):
        self.kind, self.group, self.own = kind, group, own
        self.accept, self.beside = accept, beside
        self._line = line
        self._warned: set[str] = set()

    def names(self) -> list[str]:
        """All names: ours, and those of plug-ins."""
        good = list(self.own)
        for name, targets in sorted(self._plugins().items()):
            if fault := self._fault(name, targets):
                self._warn(name, fault)
            else:
                good.append(name)
        return good

    def usable(self) -> list[str]:
        """The names whose objects can be imported; each of the others is a warning on stderr, once."""
        good = []
        for name in self.names():
            try:
                self.require(name)
                good.append(name)
            except UserError as error:
                self._warn(name, str(error))
        return good

    def get(self, name: str) -> T:
        """The object of that name. Raises UserError with the nearest name, or with the reason why a
        plug-in cannot be used.
        """
        if name in self.own:
            return load(self.own[name].target)
        targets = self._plugins().get(name)
        if targets is None:
            others = load(self.beside)() if self.beside else []
            names = [*self.names(), *others]
            raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, names)}")
        if fault := self._fault(name, targets):
            raise UserError(fault)
        return self._guarded(name, *targets)

    def require(self, name: str) -> None:
        """Raise UserError where `get` would, without importing one of our objects."""
        if name not in self.own:
            self.get(name)

    def describe(self, name: str) -> str:
        """One line about an entry. Raises UserError as `get` does; imports none of our objects."""
        return self.own[name].line if name in self.own else self._line(self.get(name))

    def _guarded(self, name: str, target: str) -> T:
        """A plug-in's object, if it is acceptable. Everything else becomes a UserError."""
        entry = f"{self.kind} {name!r} of {target}"
        plugin = _imported(target, entry)
        if not self.accept:
            return plugin
        accept = load(self.accept)
        with naming(entry):
            return accept(name, plugin)

    def _fault(self, name: str, targets: list[str]) -> str:
        """Why the name of a plug-in cannot be used; "" if it can."""
        if name in self.own:
            return f"{self.kind} {name!r} of {targets[0]}: this name belongs to a built-in one"
        if not NAME.fullmatch(name):
            return f"{self.kind} {name!r} of {targets[0]}: a name has letters, digits and .-_ only"
        if len(targets) > 1:
            return f"{self.kind} {name!r} is defined by several packages: {', '.join(targets)}"
        return ""

    def _warn(self, name: str, reason: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            print(printable(f"warning: left out: {reason}"), file=sys.stderr)

    def _plugins(self) -> dict[str, list[str]]:
        """The distinct targets of each name; an editable install may list the same one twice."""
        targets: dict[str, list[str]] = {}
        for entry in entry_points(group=self.group):
            targets.setdefault(entry.name, [])
            if entry.value not in targets[entry.name]:
                targets[entry.name].append(entry.value)
        return targets


def found_at(address: str) -> Callable[..., Any]:
    """The user's class or function at "module:attribute". Raises UserError with the reason."""
    if not all(part.isidentifier() for part in re.split("[.:]", address)):
        raise UserError(f"{address}: expected package.module:factory, such as my_vae:MyVAE")
    factory = _imported(address, f"{address}: cannot be imported")
    if not callable(factory):
        raise UserError(f"{address}: is not a class or function that makes a system")
    return factory


def load(target: str) -> Any:
    """The object behind "module:attribute"."""
    module, attribute = target.split(":")
    return getattr(importlib.import_module(module), attribute)


def _imported(target: str, subject: str) -> Any:
    """The object behind "module:attribute".

    Whatever importing it raises, `sys.exit` included, becomes a UserError about `subject`.
    """
    from benchmarks.runtime.foreign import code_of  # here, since it imports PyTorch

    try:
        with code_of(target.partition(":")[0]):
            return load(target)
    except (Exception, SystemExit) as error:
        raise UserError(f"{subject}: {type(error).__name__}: {words(error)[:300]}") from error
