"""Read YAML files that people write: option names stay text, keys are unique, and every value knows its line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


class _Loader(yaml.SafeLoader):
    """A safe loader in which only `true` and `false` are truth values, as in YAML 1.2, and all keys are text.

    YAML 1.1 reads the options ``yes``, ``no``, ``on`` and ``off`` as truth values.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        """Build a mapping with keys of text; a repeated key is an error."""
        own = [key.value for key, _ in node.value if key.value != "<<"]
        if twice := next((key for i, key in enumerate(own) if key in own[:i]), None):
            line = [key for key, _ in node.value if key.value == twice][1].start_mark
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {str(twice)!r} occurs twice; keep one of them", line
            )
        self.flatten_mapping(node)
        return {str(key.value): self.construct_object(value, deep=True) for key, value in node.value}


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:bool"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _letter in "tTfF":
    _Loader.yaml_implicit_resolvers.setdefault(_letter, []).append(
        (
            "tag:yaml.org,2002:bool",
            re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"),
        )
    )


def parse_yaml(text: str) -> Any:
    """Parse a YAML document.

    Raises
    ------
    yaml.YAMLError
        If the text is not YAML, or a key occurs twice in one mapping; the message names the line.
    """
    return yaml.load(text, Loader=_Loader)


def line_of(text: str, path: Iterable[str | int]) -> int | None:
    """Find the line of a value.

    Parameters
    ----------
    text
        A YAML document.
    path
        Keys and indices from the top to the value; the last one that exists decides.

    Returns
    -------
    The number of the line, from 1; None if not even the first key exists.
    """
    node = yaml.compose(text, Loader=_Loader)
    found = None
    for part in path:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            found, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            found = node.start_mark.line + 1
        else:
            break
    return found
