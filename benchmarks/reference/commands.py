"""The pages `commands/NAME`: usage, description and options of each command, as its parser has them."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from unittest.mock import patch

from benchmarks.console import COMMANDS, command
from benchmarks.reference.tables import escaped
from diffae.data.__main__ import COMMANDS as DATA
from diffae.images.options import VERBS
from diffae.system.cli import Parser

SUBCOMMANDS: Mapping[str, Iterable[str]] = {"images": VERBS, "data": DATA}


def page(name: str) -> str:
    parts = [f"# diffae-bench {name}\n\n`{COMMANDS[name].typed}`: {COMMANDS[name].line}."]
    for subcommand in SUBCOMMANDS.get(name, [""]):
        parser = _parser_of([name, subcommand] if subcommand else [name])
        if subcommand:
            parts.append(f"## {subcommand}")
        parts += [f"```text\n{parser.format_usage()}```", escaped(parser.description or "")]
        formatter = parser._get_formatter()
        for action in parser._actions[1:]:  # the first is --help
            meaning = escaped(formatter._expand_help(action) if action.help else "")
            parts.append(f"`{formatter._format_action_invocation(action)}`\n:   {meaning}")
        if parser.epilog:
            parts.append(f"```text\n{parser.epilog}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _parser_of(words: list[str]) -> Parser:
    """The parser that a command makes when it is called."""
    with patch.object(Parser, "parse", autospec=True, side_effect=SystemExit) as parse:
        with patch("sys.argv", []), suppress(SystemExit):
            command(words)
    parser: Parser = parse.call_args.args[0]
    return parser
