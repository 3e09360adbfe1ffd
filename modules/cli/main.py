"""Finds the command, carries it out, and says what went wrong in the reader's language."""

import argparse
import contextlib
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from modules.cli import access, care, extensions, models, own, pictures, queue, reproduce, serve
from modules.cli.parser import language_of, parser, with_command
from modules.cli.run import (
    FAILED,
    INTERRUPTED,
    OK,
    PROGRAM,
    TERMINATED,
    WRONG,
    Failed,
    Run,
    Terminated,
)
from modules.errors import StorageError, UserError
from modules.services.logs import LOG_FILE, logging_to
from modules.settings import Settings
from modules.texts import translate

log = logging.getLogger(__name__)

COMMANDS: dict[str, Callable[[Run], int]] = {
    "serve": serve.serve,
    "txt2img": pictures.txt2img,
    "img2img": pictures.img2img,
    "reproduce": reproduce.reproduce,
    "queue": queue.queue,
    "models": models.models,
    "convert": models.convert,
    "token": access.token,
    "doctor": care.doctor,
    "bench": care.bench,
    "backup": care.backup,
    "restore": care.restore,
    "extensions": extensions.extensions,
    "version": care.version,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    _speak_utf8()
    words = list(sys.argv[1:] if arguments is None else arguments)
    language = language_of(words)
    try:
        found = own.find(words, COMMANDS, language)
        if found is not None:
            settings = found.settings
            language = settings.language
            with _terminable(), _logging(settings, verbose=found.verbose):
                return found.carry_out()
        options = parser(language).parse_args(with_command(words, COMMANDS))
        with _terminable():
            settings = _settings(options)
            language = settings.language
            with _logging(settings, verbose=options.verbose):
                return _carry_out(Run(options, settings))
    except UserError as error:
        print(f"{PROGRAM}: {error.message(language)}", file=sys.stderr)
        return FAILED if isinstance(error, StorageError | Failed) else WRONG
    except Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `noisette models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _carry_out(run: Run) -> int:
    try:
        return COMMANDS[run.options.command](run)
    except (UserError, BrokenPipeError):  # `main` deals with them
        raise
    except Exception as error:
        log.exception("%s", run.options.command)
        what = f"{type(error).__name__}: {error}"[:300]
        raise Failed(UserError("error.internal", what=what)) from error


def _logging(settings: Settings, *, verbose: bool) -> contextlib.AbstractContextManager[None]:
    file = settings.data_dir / LOG_FILE
    hint = translate("cli.details", settings.language, file=file)
    return logging_to(file, hint=hint, verbose=verbose)


def _settings(options: argparse.Namespace) -> Settings:
    given = vars(options)
    return Settings.load({name: given.get(name) for name in Settings.model_fields})


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _speak_utf8() -> None:
    """A console with another encoding shows `\\u2026` for what it cannot, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
