"""Additions to a fingerprint: the source of a plug-in, and the state of a live model.

A system whose code changed is measured again, as after a change of its weights. Our own systems
need no source: their results are stored under the version of this package.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

import torch
from torch import nn

# Packages with versions of their own: the source of base classes from them is not covered.
ELSEWHERE = {"benchmarks", "diffae", "probes", "reports", "torch", "builtins", "abc", "typing"}


Plain = bool | int | float | str | None


def source_digest(system: type) -> str:
    """The suffix of a fingerprint for a plug-in's source: "-source-" and a digest.

    It is "" for our own systems. It covers the file of the class, or all Python files of its
    package (its networks will be there), and the files of its base classes. What these import from
    elsewhere is not covered.
    """
    if system.__module__.partition(".")[0] in ELSEWHERE:
        return ""
    digest, files = hashlib.sha256(), list(_files(system))
    for root, path in sorted(set(files)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return f"-source-{digest.hexdigest()[:16]}" if files else ""


def _files(system: type) -> Iterator[tuple[Path, Path]]:
    """The files of a class and its bases, each with the folder that its name is relative to."""
    own = system.__module__.partition(".")[0]
    for base in system.__mro__:
        name = base.__module__.partition(".")[0]
        if name in ELSEWHERE:
            continue
        package = _file(name) if name == own else None
        if package is not None and package.name == "__init__.py":
            yield from ((package.parents[1], path) for path in package.parent.rglob("*.py"))
        elif (path := _file(base.__module__)) is not None:
            yield path.parent, path


def _file(module: str) -> Path | None:
    """The file of an imported module, if it has one."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path) if path and Path(path).is_file() else None


def state_digest(module: nn.Module) -> str:
    """The suffix of a fingerprint for a live model: "-state-" and a digest of what it computes with.

    That is its tensors and, for each of its modules, the type and the plain values (a scale, a
    stride); for classes written in a notebook also the code of their methods. Other state (tensors
    that are not buffers, the content of other objects) is not covered.
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor):
            continue
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().data)
    for name, part in module.named_modules():
        digest.update(f"{name} {type(part).__qualname__} {_plain_fields(part)}\n".encode())
    kinds = {type(part) for part in module.modules()}
    for kind in sorted(kinds, key=lambda kind: kind.__qualname__):
        if kind.__module__ == "__main__":  # a notebook's, perhaps, which has no file
            digest.update("\n".join(_of_methods(kind)).encode())
    return f"-state-{digest.hexdigest()[:32]}"


def _of_methods(kind: type) -> Iterator[str]:
    """The code of a class's methods as text, independent of where they are written."""
    for name, method in sorted(vars(kind).items()):
        if isinstance(method, FunctionType):
            yield f"{kind.__qualname__}.{name} {_of_code(method.__code__)}"


def _of_code(code: CodeType) -> str:
    consts = [_of_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {consts}"


def _plain_fields(module: nn.Module) -> list[tuple[str, Plain | tuple[Plain, ...]]]:
    """The plain values of a module by name, except its training mode: calls use evaluation mode."""
    fields = []
    for name, value in sorted(vars(module).items()):
        elements = value if isinstance(value, tuple) else (value,)
        if name != "training" and all(isinstance(element, Plain) for element in elements):
            fields.append((name, value))
    return fields
