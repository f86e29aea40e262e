"""The optional package `diffusers`, imported when a system needs it and never otherwise."""

import importlib
import importlib.util
from types import ModuleType

from diffae.system.errors import UserError, pip_install

PACKAGE = "diffusers"
MISSING = f"needs the package {PACKAGE}, which is not installed: {pip_install(PACKAGE)}"


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def diffusers(user: str) -> ModuleType:
    """The package, silent about anything but errors. Raises UserError saying that `user` needs it."""
    if not is_installed():
        raise UserError(f"{user}: {MISSING}")
    importlib.import_module(f"{PACKAGE}.utils.logging").set_verbosity_error()
    return importlib.import_module(PACKAGE)
