"""The built-in profiles, a TOML file each; `benchmarks/core/profiles.py` reads them."""

from benchmarks.core.profiles import PROFILES, Profile, override

__all__ = ["PROFILES", "Profile", "override"]
