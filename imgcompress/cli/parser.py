"""Options as they are spelled on the command line, and presets among them."""

import re
import sys
from pathlib import Path
from typing import Any

from jsonargparse import SUPPRESS, ArgumentParser

from imgcompress.errors import UsageError
from imgcompress.resources import resource_path

_SHORT_FOR = {"--perceptual_weights": "--perception.weights", "--no_mark": "--mark=false"}
_WITH_PRESETS = ("recompress", "inspect", "hash", "verify", "serve", "export")


class Parser(ArgumentParser):
    """jsonargparse, with option names spelled with hyphens on the command line."""

    def parse_args(self, args: Any = None, *rest: Any, **options: Any) -> Any:
        """Takes words as they are typed."""
        words = list(sys.argv[1:] if args is None else args)
        end = words.index("--") if "--" in words else len(words)
        words[:end] = _presets_as_files(list(map(_with_underscores, words[:end])))
        return super().parse_args(words, *rest, **options)

    def format_help(self, *formatter: Any) -> str:
        """Shows options as they are typed."""
        return re.sub(
            r"--[a-z_.]+", lambda match: match[0].replace("_", "-"), super().format_help(*formatter)
        )


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, separator, value = word.partition("=")
    name = "--" + name[2:].replace("-", "_")
    return _SHORT_FOR.get(name, name) + separator + value


def _presets_as_files(words: list[str]) -> list[str]:
    """Each ``--preset NAME`` as the ``--config FILE`` that it stands for, before any other option."""
    files, rest = [], []
    left = iter(words)
    for word in left:
        name, separator, value = word.partition("=")
        if name != "--preset":
            rest.append(word)
            continue
        path = preset_path(value if separator else next(left, ""))
        files += ["--config", str(path)]
    at = 1 if rest and rest[0] in _WITH_PRESETS else 0
    return [*rest[:at], *files, *rest[at:]]


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises:
        UsageError: there is none of this name; the message has those that there are.
    """
    presets = {path.stem: path for path in resource_path("configs/presets").glob("*.yaml")}
    if name not in presets:
        raise UsageError(f"--preset: expected one of {', '.join(sorted(presets))}, got {name!r}")
    return presets[name]


def add_paths(parser: ArgumentParser) -> None:
    """The pictures that a command is about."""
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        default=SUPPRESS,
        help="a picture, a folder, searched recursively, or a list of them (.txt)",
    )


def add_files_of_settings(parser: ArgumentParser) -> None:
    """Files that settings are read from."""
    parser.add_argument(
        "--preset",
        metavar="NAME",
        default=SUPPRESS,
        help="instant, fast, balanced or best: --config and the options below go over it",
    )
    parser.add_argument("--config", action="config", help="a YAML file with any of the options below")
