"""The whole command line: what it understands, and what runs."""

from collections.abc import Sequence
from typing import Any, Protocol

from jsonargparse import ArgumentParser
from rich.console import Console

from imgcompress import __version__
from imgcompress.cli import compare, export, inspect, ledger, recompress, serve, verify
from imgcompress.cli import hash as hash_command
from imgcompress.cli.exits import EXIT_INTERRUPTED, EXIT_USAGE
from imgcompress.cli.parser import Parser
from imgcompress.config import refuse_nulls
from imgcompress.errors import UsageError


class Command(Protocol):
    """What the module of a command has."""

    HELP: str
    """A few words for the list of commands."""

    def make_parser(self) -> Parser:
        """Its options."""

    def run(self, options: Any, console: Console, /) -> int:
        """Carries it out; messages go to the console. Returns the exit code."""


COMMANDS: dict[str, Command] = {
    "recompress": recompress,
    "inspect": inspect,
    "compare": compare,
    "hash": hash_command,
    "verify": verify,
    "ledger": ledger,
    "serve": serve,
    "export": export,
}


def build_parser() -> ArgumentParser:
    """The parser of the whole command line; the settings' options are the fields of :class:`Config`."""
    parser = Parser(
        prog="imgcompress",
        description="Recompress pictures, spending bits where people look.",
        version=__version__,
    )
    commands = parser.add_subcommands(dest="command")
    for name, module in COMMANDS.items():
        commands.add_subcommand(name, module.make_parser(), help=module.HELP)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: words after the program's name; None takes the process's own.

    Returns:
        The exit code: 0 all went well, 1 some pictures failed, 2 wrong usage, 130 interrupted.
    """
    console = Console(stderr=True)
    try:
        parser = build_parser()
        try:
            options = parser.parse_args(arguments)
        except UnicodeDecodeError as error:
            raise UsageError(f"--config: the file is no UTF-8 text: {error}") from error
        if options.command != "ledger":  # which has no settings
            settings = options[options.command]
            if "preset" in settings:
                raise UsageError("preset: an option of the command line only; no file of settings names one")
            refuse_nulls(settings)
        made = parser.instantiate(options)
        return COMMANDS[options.command].run(made[options.command], console)
    except SystemExit as stop:  # the parser's own: 0 after --help, 2 after an error it has printed
        return stop.code if isinstance(stop.code, int) else EXIT_USAGE
    except UsageError as error:
        message = f"imgcompress: {error}"
        console.print(message, style="red", markup=False, highlight=False, soft_wrap=True)
        return EXIT_USAGE
    except KeyboardInterrupt:
        console.print("imgcompress: interrupted; what is written is whole")
        return EXIT_INTERRUPTED
