"""YAML files from outside: plain values, and no key of a mapping twice."""

from pathlib import Path
from typing import Any

import yaml

from diffae.system.errors import UserError, once, reason
from diffae.system.files import read_text


class _Loader(yaml.SafeLoader):
    """PyYAML's loader of plain values, but it refuses a key that occurs twice."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        once(self.name, ((str(key.value), value.value) for key, value in node.value))
        return node


def read_yaml(path: Path, most: int) -> Any:
    """The content of a YAML file of at most `most` bytes. Raises UserError naming the file."""
    text = read_text(path, most)
    try:
        loader = _Loader(text)  # which refuses control characters
        loader.name = str(path)
        return loader.get_single_data()
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not YAML of plain values ({reason(error):.200})") from None
