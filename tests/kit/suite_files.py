"""Files of suites, read apart from the code that reads them, and their hashes."""

import hashlib
import json
import tomllib

from benchmarks.core import suites
from benchmarks.metrics.protocols import schema

# The SHA-256 of each suite.
FROZEN = {
    "decodable-v1": "b0703ab6e1f2cd526b04ab48cfe67d3327fce958ca36cb3d8866cef04c819cea",
}
ANOTHER_NAME = "a suite is frozen: a second version is another name"
NAMES, SHIPPED = sorted(FROZEN), suites.FOLDER
OF_MACHINE = ("data_sha256", "device")


def content_of(name):
    return tomllib.loads((SHIPPED / f"{name}.toml").read_text())


def as_settings(content):
    """The settings of a file by "section.name"; lists are tuples."""
    found = {f"{s}.{k}": v for s, of in content["settings"].items() for k, v in of.items()}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}


def digest(content):
    """The hash computed apart: of the file's content, with the values of the files of its protocols."""
    protocols = {}
    for name in content["protocol"]:
        read = tomllib.loads((schema.FOLDER / f"{name}.toml").read_text())
        parts = [{s: read[s] for s in ("pixels", metric)} for metric in schema.METRICS]
        protocols[name] = [
            {f"{s}.{key}": pair[0] for s, of in part.items() for key, pair in of.items()}
            for part in parts
        ]
    whole = {**content, "description": "", "protocol": protocols}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
