"""What is added to a fingerprint: the source of a plug-in, and the state of a live model.

A system whose code changed is another system, as is one whose weights did. Our own systems need no source, their
results are filed under the version of this package.
"""

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, NoneType

import torch
from torch import nn

# Packages with versions and maintainers of their own: what a base class of theirs does is not looked at.
ELSEWHERE = {"benchmarks", "diffae", "probes", "reports", "torch", "builtins", "abc", "typing"}


def source_digest(system: type) -> str:
    """What to append to a fingerprint: "" for a system of ours, else "-source-" and a digest.

    It covers the file of the class; where that is in a package, all Python files of the package (its networks
    will be there); and the files of its base classes. What these import from elsewhere is not seen.
    """
    if system.__module__.partition(".")[0] in ELSEWHERE:
        return ""
    digest, files = hashlib.sha256(), list(_files(system))
    for root, path in sorted(set(files)):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return f"-source-{digest.hexdigest()[:16]}" if files else ""


def _files(system: type) -> Iterator[tuple[Path, Path]]:
    """The files behind a class and its bases, each with the folder that its name is told relative to."""
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
    """The file of a module that has been imported, if it has one."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return Path(path) if path and Path(path).is_file() else None


def state_digest(module: nn.Module) -> str:
    """What to append to the fingerprint of a live model: "-state-" and a digest of what it computes with.

    That is its tensors and, of each of its modules, the kind and the plain values (a scale, a stride); of classes
    that were written in a notebook, what their methods do. What it holds elsewhere (tensors that are no buffers, the content of other objects) is not seen.
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
    for kind in sorted(
        {type(part) for part in module.modules()}, key=lambda kind: kind.__qualname__
    ):
        if kind.__module__ == "__main__":  # a notebook's, perhaps, which has no file
            digest.update("\n".join(_of_methods(kind)).encode())
    return f"-state-{digest.hexdigest()[:32]}"


def _of_methods(kind: type) -> Iterator[str]:
    """The methods of a class as text that says what they do, and not where they are written."""
    for name, method in sorted(vars(kind).items()):
        if isinstance(method, FunctionType):
            yield f"{kind.__qualname__}.{name} {_of_code(method.__code__)}"


def _of_code(code: CodeType) -> str:
    consts = [_of_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {consts}"


def _plain_fields(part: nn.Module) -> list[tuple[str, object]]:
    """The plain values of a module by name, but whether it trains: calls find it in evaluation mode."""
    plain = (bool, int, float, str, NoneType)
    return [
        (name, value)
        for name, value in sorted(vars(part).items())
        if name != "training"
        and (
            isinstance(value, plain)
            or (isinstance(value, tuple) and all(isinstance(v, plain) for v in value))
        )
    ]
