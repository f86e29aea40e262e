"""Scripts of docs/, which lie in no package."""

import importlib.util
from pathlib import Path
from types import ModuleType


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
