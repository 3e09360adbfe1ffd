"""The words of the command line: which commands there are and what each takes."""

import argparse
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from modules import __version__
from modules.cli import access, extensions, request
from modules.cli.run import PROGRAM
from modules.errors import UserError
from modules.texts import LANGUAGES, translate

_SWITCHES = ("--safe-mode", "--verbose", "--no-open", "--listen", "--share", "--password")
"""The options before a command that are not followed by a value."""
_ALONE = ("-h", "--help", "--version")
"""The options that are answered without a command."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in two lines, where argparse lists every option first."""

    def error(self, message: str) -> NoReturn:
        raise UserError("cli.words", why=message, program=self.prog)


class _Command(_Parser):
    """One command: its options may stand before, between and after its words, as in `install --yes FOLDER`."""

    _mixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # argparse alone takes optional words as left out when an option stands between them. What mixes calls this
        # method again, once for the options and once for the words.
        if self._mixing:
            return super().parse_known_args(args, namespace)
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False


def parser(language: str) -> argparse.ArgumentParser:
    """All commands and their options, described in `language`."""

    def say(name: str) -> str:
        return translate(f"cli.help.{name}", language)

    shared = _Command(add_help=False)
    shared.add_argument("--data-dir", type=Path, metavar="FOLDER", help=say("data_dir"))
    shared.add_argument("--models-dir", type=Path, metavar="FOLDER", help=say("models_dir"))
    shared.add_argument("--extensions-dir", type=Path, metavar="FOLDER", help=say("extensions_dir"))
    shared.add_argument("--safe-mode", action="store_true", default=None, help=say("safe_mode"))
    shared.add_argument("--lang", choices=LANGUAGES, dest="language", help=say("lang"))
    shared.add_argument("--verbose", action="store_true", help=say("verbose"))

    found = _Parser(PROGRAM, description=say("program"), epilog=say("epilog"), parents=[shared])
    found.add_argument("--version", action="version", version=f"Noisette {__version__}")
    commands = found.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Command)

    def command(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=say(name), description=say(name), parents=[shared])

    serve = command("serve")
    serve.add_argument("--host", help=say("host"))
    serve.add_argument("--port", type=whole(language), help=say("port"))
    serve.add_argument(
        "--no-open", action="store_const", const=False, dest="open_browser", help=say("no_open")
    )
    access.add_serve(serve, say, number(language))
    access.add_token(command("token"), say, number(language))
    for name, add_own in (
        ("txt2img", request.add_txt2img),
        ("img2img", request.add_img2img),
    ):
        pictures = command(name)
        add_own(pictures, say, (whole(language), number(language)))
        request.add_arguments(pictures, say, (whole(language), number(language)))
        _add_server(pictures, say)
    again = command("reproduce")
    again.add_argument("image", type=Path, metavar="FILE", help=say("reproduce_file"))
    again.add_argument("--output", metavar="FILE", help=say("reproduce_output"))
    again.add_argument("--json", action="store_true", help=say("json"))
    queue = command("queue")
    queue.add_argument(
        "action",
        nargs="?",
        choices=("list", "cancel", "retry", "move", "clear"),
        default="list",
        help=say("action"),
    )
    queue.add_argument("id", nargs="?", type=whole(language), help=say("id"))
    queue.add_argument("--limit", type=whole(language), default=50, help=say("limit"))
    queue.add_argument("--place", type=whole(language), default=0, metavar="N", help=say("place"))
    queue.add_argument("--all", action="store_true", help=say("all"))
    queue.add_argument("--json", action="store_true", help=say("json"))
    _add_server(queue, say)
    for name in ("models", "doctor"):
        command(name).add_argument("--json", action="store_true", help=say("json"))
    convert = command("convert")
    convert.add_argument("file", type=Path, metavar="FILE", help=say("convert_file"))
    bench = command("bench")
    bench.add_argument("--json", type=Path, metavar="FILE", help=say("bench_json"))
    bench.add_argument("--repeat", type=whole(language), default=3, help=say("repeat"))
    bench.add_argument("--large", action="store_true", help=say("large"))
    bench.add_argument("--leaks", action="store_true", help=say("leaks"))
    backup = command("backup")
    backup.add_argument("file", type=Path, metavar="FILE", help=say("backup_file"))
    backup.add_argument("--pictures", action="store_true", help=say("backup_pictures"))
    restore = command("restore")
    restore.add_argument("file", type=Path, metavar="FILE", help=say("restore_file"))
    extensions.add_arguments(command("extensions"), say)
    command("version")
    return found


def _add_server(parser: argparse.ArgumentParser, say: request.Say) -> None:
    parser.add_argument("--server", metavar="URL", help=say("server"))
    parser.add_argument("--token", metavar="TOKEN", help=say("server_token"))


def whole(language: str) -> Callable[[str], int]:
    """Reads a whole number; what it says of other words is in `language`."""

    def read(word: str) -> int:
        try:
            return int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(translate("cli.whole", language, found=word)) from None

    return read


def number(language: str) -> Callable[[str], float]:
    """Reads a number; what it says of other words is in `language`."""

    def read(word: str) -> float:
        try:
            return float(word)
        except ValueError:
            raise argparse.ArgumentTypeError(
                translate("cli.number", language, found=word)
            ) from None

    return read


def with_command(words: list[str], commands: Collection[str]) -> list[str]:
    """The command first, wherever it stood: `--data-dir X queue` is `queue --data-dir X`, `--port 7861` is `serve`'s."""
    at = first_word(words)
    if at < len(words) and words[at] in _ALONE:
        return [words[at]]
    if at < len(words) and (at == 0 or words[at] in commands):
        return [words[at], *words[:at], *words[at + 1 :]]
    return ["serve", *words]


def first_word(words: Sequence[str]) -> int:
    """Where the options before the command end: at the command, at one of `_ALONE`, or at the end of `words`."""
    at = 0
    while at < len(words) and words[at].startswith("-") and words[at] not in _ALONE:
        takes_word = "=" not in words[at] and words[at] not in _SWITCHES
        at += 2 if takes_word else 1
    return min(at, len(words))


def language_of(words: Sequence[str]) -> str:
    """The language is needed for the help texts, so before the words are parsed."""
    for number, word in enumerate(words):
        if word.startswith("--lang="):
            return word.partition("=")[2]
        if word == "--lang" and number + 1 < len(words):
            return words[number + 1]
    return os.environ.get("NOISETTE_LANGUAGE", LANGUAGES[0])
