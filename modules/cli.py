"""The command line: `noisette <command>`, or `python webui.py <command>`; without a command it serves the page.

Importing this imports neither torch nor gradio, so that `--help`, `queue` and mistakes are answered at once.
Exit status: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

import argparse
import contextlib
import io
import json
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules import __version__
from modules.errors import StorageError, UserError
from modules.schema import GenerationRequest, Job, JobState
from modules.services.instance import InstanceLock
from modules.settings import Settings
from modules.texts import LANGUAGES, translate

if TYPE_CHECKING:
    from modules.services.front import Studio

OK, FAILED, WRONG, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
PROGRAM = "noisette"
_POLL_SECONDS = 0.3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    _speak_utf8()
    words = list(sys.argv[1:] if arguments is None else arguments)
    language = _language(words)
    options = _parser(language).parse_args(_with_command(words))
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        with _terminable():
            settings = _settings(options)
            language = settings.language
            return _COMMANDS[options.command](_Run(options, settings))
    except UserError as error:
        print(f"{PROGRAM}: {error.message(language)}", file=sys.stderr)
        return FAILED if isinstance(error, StorageError | _Failed) else WRONG
    except _Terminated:
        return TERMINATED
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `noisette models | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


class _Run:
    """One call of a command: its options, the settings, the language of its words."""

    def __init__(self, options: argparse.Namespace, settings: Settings) -> None:
        self.options = options
        self.settings = settings
        self.language = settings.language

    def say(self, key: str, **values: object) -> str:
        return translate(key, self.language, **values)

    def print_json(self, data: object) -> None:
        print(json.dumps(data, ensure_ascii=False, indent=2, default=str))

    @contextlib.contextmanager
    def studio(self, *, in_process: bool = False) -> Iterator["Studio"]:
        from modules.app import build_studio

        studio = build_studio(self.settings, in_process=in_process)
        try:
            yield studio
        finally:
            studio.close()


class _Failed(UserError):
    """The job failed: exit status 1, unlike a request that was wrong."""

    def __init__(self, error: UserError) -> None:
        super().__init__(error.key, **error.values)


class _Terminated(KeyboardInterrupt):
    """SIGTERM: ends a command as Ctrl-C does, tidily."""


# ------------------------------------------------------------------------------------------------ commands


def _serve(run: _Run) -> int:
    settings = run.settings
    with InstanceLock(settings.data_dir).acquire() as lock:
        from modules.api.server import listen, serve
        from modules.app import build_app

        with listen(settings.host, settings.port) as sock:
            port = int(sock.getsockname()[1])
            url = f"http://{_reachable(settings.host)}:{port}/"
            lock.tell(url)
            app = build_app(settings.model_copy(update={"port": port}))
            try:
                serve(app.asgi, sock, lambda: _opened(run, url, app.studio))
            except _Terminated:
                return OK
            finally:
                app.close()
    return OK


def _txt2img(run: _Run) -> int:
    options = run.options
    request = _request(options)
    lock = InstanceLock(run.settings.data_dir)
    with run.studio(in_process=True) as studio:
        job = studio.submit(request, "cli")
        with _Bar(sys.stderr, options.json) as bar:
            try:
                job = _finish(run, studio, lock, job, bar)
            except KeyboardInterrupt:
                studio.cancel(job.id)  # also where another instance has it
                raise
        files = [studio.picture_file(picture.id) for picture in job.pictures]
        _report(run, studio, job, _copy(files, options.output))
    if job.state is JobState.FAILED:
        raise _Failed(UserError.from_dict(job.error or {}))
    return OK if job.state is JobState.DONE else INTERRUPTED


def _queue(run: _Run) -> int:
    action = run.options.action
    with run.studio() as studio:
        if action in ("cancel", "retry"):
            if run.options.id is None:
                raise UserError("cli.queue.which")
            if action == "retry":
                print(run.say("cli.queue.retried", id=studio.retry(run.options.id).id))
            else:
                job = studio.cancel(run.options.id)
                print(run.say("cli.queue.cancelled", id=job.id, state=job.state.value))
        elif run.options.id is not None:
            raise UserError("cli.queue.no_id", action=action, id=run.options.id)
        elif action == "clear":
            print(run.say("cli.queue.cleared", count=studio.cancel_queued()))
        else:
            _list_queue(run, studio)
    return OK


def _models(run: _Run) -> int:
    with run.studio() as studio:
        found = studio.models(refresh=True)
        if run.options.json:
            cards = [card.model_dump(mode="json") for card in found.cards]
            problems = [
                {"path": str(each.path), "reason": each.error.message(run.language)}
                for each in found.problems
            ]
            run.print_json({"models": cards, "problems": problems})
            return OK
        for card in found.cards:
            size = f"{card.size_bytes / 1e6:,.0f} MB"
            print(f"{card.name}\t{card.family}\t{size}\t{card.path}")
        for each in found.problems:
            print(f"{each.path}: {each.error.message(run.language)}", file=sys.stderr)
        if not found.cards:
            print(run.say("cli.models.none", folder=run.settings.models_dir), file=sys.stderr)
            return FAILED
    return OK


def _doctor(run: _Run) -> int:
    from modules import doctor

    findings = doctor.examine(run.settings)
    if run.options.json:
        run.print_json([finding.to_dict(run.language) for finding in findings])
    else:
        print(doctor.table(findings, run.language))
    return FAILED if any(finding.level is doctor.Level.BROKEN for finding in findings) else OK


def _bench(run: _Run) -> int:
    from modules import bench

    result = bench.measure(run.settings, run.options.repeat, progress=_note)
    print(bench.table(result, run.language))
    if run.options.json:
        run.options.json.write_text(json.dumps(result.to_dict(), indent=2), encoding="utf-8")
    return OK if result.good else FAILED


def _version(run: _Run) -> int:
    print(f"Noisette {__version__} (Python {sys.version.split()[0]})")
    return OK


_COMMANDS: dict[str, Callable[[_Run], int]] = {
    "serve": _serve,
    "txt2img": _txt2img,
    "queue": _queue,
    "models": _models,
    "doctor": _doctor,
    "bench": _bench,
    "version": _version,
}


# ------------------------------------------------------------------------------------------------ txt2img


def _request(options: argparse.Namespace) -> GenerationRequest:
    from pydantic import ValidationError

    try:
        return GenerationRequest(
            prompt=options.prompt,
            negative_prompt=options.negative,
            model=options.model,
            width=options.width,
            height=options.height,
            steps=options.steps,
            cfg_scale=options.cfg,
            sampler=options.sampler,
            schedule=options.schedule,
            seed=options.seed,
            batch_count=options.batch,
        )
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(
            "cli.request.value", field=field, found=repr(first["input"]), why=first["msg"]
        ) from error


def _finish(run: _Run, studio: "Studio", lock: InstanceLock, job: Job, bar: "_Bar") -> Job:
    """Have the job done: by ourselves when the data folder is free, else by the instance that holds it."""
    told = False
    while not job.state.finished:
        try:
            lock.acquire()
        except StorageError:
            raise
        except UserError:
            if not told:
                told = True
                bar.note(run.say("cli.txt2img.waiting", pid=lock.holder().pid or "?", id=job.id))
            time.sleep(_POLL_SECONDS)
            job = studio.job(job.id)
            continue
        try:
            studio.tidy()
            with bar.following(studio, job.id):
                job = studio.run(job.id)
        finally:
            lock.release()
    return job


def _copy(files: Sequence[Path], target: Path | None) -> list[Path]:
    """Copy the pictures to `--output`: a folder, or a file name (numbered from the second picture on)."""
    if target is None:
        return list(files)
    folder = target.is_dir() or not target.suffix
    copies = []
    try:
        (target if folder else target.parent).mkdir(parents=True, exist_ok=True)
        for number, file in enumerate(files):
            name = target.with_stem(f"{target.stem}-{number + 1}") if number else target
            copy = target / file.name if folder else name
            shutil.copyfile(file, copy)
            copies.append(copy)
    except OSError as error:
        why = error.strerror or error
        raise UserError("cli.output", path=target, why=why, kept=files[0].parent) from error
    return copies


def _report(run: _Run, studio: "Studio", job: Job, files: Sequence[Path]) -> None:
    if run.options.json:
        pictures = [
            {
                "file": str(file),
                "seed": picture.seed,
                "width": picture.width,
                "height": picture.height,
            }
            for file, picture in zip(files, job.pictures, strict=True)
        ]
        data: dict[str, Any] = {
            "job": job.id,
            "state": job.state.value,
            "pictures": pictures,
            "request": job.request.model_dump(mode="json"),
            "warnings": job.warnings,
            "error": UserError.from_dict(job.error).message(run.language) if job.error else None,
        }
        run.print_json(data)
        return
    for warning in job.warnings:
        print(warning, file=sys.stderr)
    for file in files:
        print(file)


class _Bar:
    """A progress bar on a terminal; nothing where stderr is a file."""

    def __init__(self, stream: Any, quiet: bool) -> None:
        self._stream = stream
        self._shown = stream.isatty() and not quiet
        self._quiet = quiet

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._draw("")

    def note(self, text: str) -> None:
        if not self._quiet:
            print(text, file=self._stream)

    @contextlib.contextmanager
    def following(self, studio: "Studio", job_id: int) -> Iterator[None]:
        done = threading.Event()
        thread = threading.Thread(target=self._follow, args=(studio, job_id, done), daemon=True)
        if self._shown:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if self._shown:
                thread.join(2.0)

    def _follow(self, studio: "Studio", job_id: int, done: threading.Event) -> None:
        version = -1
        while not done.is_set():
            version = studio.watch(version, 0.5)
            if done.is_set():
                return
            now = studio.progress(job_id)
            filled = round(30 * now.fraction)
            eta = f" {now.eta:.0f} s" if now.eta is not None else ""
            stage = now.stage.value if now.stage else now.state.value
            self._draw(f"[{'#' * filled}{'.' * (30 - filled)}] {stage} {now.step}/{now.steps}{eta}")

    def _draw(self, text: str) -> None:
        if self._shown:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()


# ------------------------------------------------------------------------------------------------ queue


def _list_queue(run: _Run, studio: "Studio") -> None:
    waiting = studio.jobs(
        states=(JobState.QUEUED, JobState.RUNNING), newest_first=False, limit=run.options.limit
    )
    if run.options.json:
        run.print_json(
            {
                "counts": {state.value: count for state, count in studio.counts().items()},
                "jobs": [job.model_dump(mode="json") for job in waiting],
            }
        )
        return
    counts = studio.counts()
    print(run.say("cli.queue.counts", **{state.value: count for state, count in counts.items()}))
    for job in waiting:
        prompt = " ".join(job.request.prompt.split())
        print(f"{job.id}\t{job.state.value}\t{job.request.pictures}\t{prompt[:70]}")


# ------------------------------------------------------------------------------------------------ parsing


def _parser(language: str) -> argparse.ArgumentParser:
    def say(name: str) -> str:
        return translate(f"cli.help.{name}", language)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data-dir", type=Path, metavar="FOLDER", help=say("data_dir"))
    shared.add_argument("--models-dir", type=Path, metavar="FOLDER", help=say("models_dir"))
    shared.add_argument("--extensions-dir", type=Path, metavar="FOLDER", help=say("extensions_dir"))
    shared.add_argument("--safe-mode", action="store_true", default=None, help=say("safe_mode"))
    shared.add_argument("--lang", choices=LANGUAGES, dest="language", help=say("lang"))

    parser = argparse.ArgumentParser(PROGRAM, description=say("program"), epilog=say("epilog"))
    parser.add_argument("--version", action="version", version=f"Noisette {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    def command(name: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=say(name), description=say(name), parents=[shared])

    serve = command("serve")
    serve.add_argument("--host", help=say("host"))
    serve.add_argument("--port", type=int, help=say("port"))
    serve.add_argument(
        "--no-open", action="store_const", const=False, dest="open_browser", help=say("no_open")
    )
    _txt2img_arguments(command("txt2img"), say)
    queue = command("queue")
    queue.add_argument(
        "action",
        nargs="?",
        choices=("list", "cancel", "retry", "clear"),
        default="list",
        help=say("action"),
    )
    queue.add_argument("id", nargs="?", type=int, help=say("id"))
    queue.add_argument("--limit", type=int, default=50, help=say("limit"))
    queue.add_argument("--json", action="store_true", help=say("json"))
    for name in ("models", "doctor"):
        command(name).add_argument("--json", action="store_true", help=say("json"))
    bench = command("bench")
    bench.add_argument("--json", type=Path, metavar="FILE", help=say("bench_json"))
    bench.add_argument("--repeat", type=int, default=3, help=say("repeat"))
    command("version")
    return parser


def _txt2img_arguments(parser: argparse.ArgumentParser, say: Callable[[str], str]) -> None:
    parser.add_argument("prompt", help=say("prompt"))
    parser.add_argument("--negative", default="", metavar="TEXT", help=say("negative"))
    parser.add_argument("--model", metavar="NAME", help=say("model"))
    parser.add_argument("--width", type=int, metavar="PIXELS", help=say("width"))
    parser.add_argument("--height", type=int, metavar="PIXELS", help=say("height"))
    parser.add_argument("--steps", type=int, metavar="N", help=say("steps"))
    parser.add_argument("--cfg", type=float, metavar="X", help=say("cfg"))
    parser.add_argument("--sampler", metavar="NAME", help=say("sampler"))
    parser.add_argument("--schedule", metavar="NAME", help=say("schedule"))
    parser.add_argument("--seed", type=int, default=-1, metavar="N", help=say("seed"))
    parser.add_argument("--batch", type=int, default=1, metavar="N", help=say("batch"))
    parser.add_argument("--output", type=Path, metavar="FILE_OR_FOLDER", help=say("output"))
    parser.add_argument("--json", action="store_true", help=say("json"))


def _with_command(words: list[str]) -> list[str]:
    """`noisette --port 7861` means `noisette serve --port 7861`."""
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help", "--version")):
        return ["serve", *words]
    return words


def _language(words: Sequence[str]) -> str:
    """The language is needed for the help texts, so before the words are parsed."""
    for number, word in enumerate(words):
        if word.startswith("--lang="):
            return word.partition("=")[2]
        if word == "--lang" and number + 1 < len(words):
            return words[number + 1]
    return os.environ.get("NOISETTE_LANGUAGE", LANGUAGES[0])


def _settings(options: argparse.Namespace) -> Settings:
    given = vars(options)
    return Settings.load({name: given.get(name) for name in Settings.model_fields})


# ------------------------------------------------------------------------------------------------ terminal


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise _Terminated

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


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _opened(run: _Run, url: str, studio: "Studio") -> None:
    """The page answers: start the queue (its worker would only have slowed the page down before) and say where it is."""
    studio.start()
    print(run.say("cli.serve.ready", url=url), flush=True)
    if run.settings.open_browser:
        import webbrowser

        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", "::", ""):  # what was asked for; the link must name a real address
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
