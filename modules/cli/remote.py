"""`--server URL`: the same commands against a running Noisette, through `/api/v2`, on whatever machine it is."""

import argparse
import hashlib
import http.client
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.cli import request as words
from modules.cli.run import INTERRUPTED, OK, Failed, Run, export_to, note
from modules.client import Client, NoisetteError
from modules.errors import UserError, reason
from modules.schema import GenerationRequest, ModelCard

VISITOR = "noisette command line"


def txt2img(run: Run) -> int:
    """Make pictures of a prompt, there."""
    with _client(run) as client:
        return _pictures(run, client, words.txt2img(run.options))


def img2img(run: Run) -> int:
    """Make pictures of a picture and a prompt, there."""
    with _client(run) as client:
        inputs = _Inputs(client)
        card = _card(client, run.options.model)
        return _pictures(run, client, words.img2img(run.options, inputs, card))


def queue(run: Run) -> int:
    """List, cancel, retry, move or clear jobs, there."""
    options = run.options
    everybodys = {"all": True} if options.all else {}
    with _client(run) as client:
        match options.action:
            case "cancel":
                job = client.cancel(options.id, **everybodys)
                print(run.say("cli.queue.cancelled", id=job["id"], state=job["state"]))
            case "retry":
                job = client.retry(options.id, **everybodys)
                print(run.say("cli.queue.retried", id=job["id"]))
            case "move":
                job = client.move(options.id, options.place, **everybodys)
                print(run.say("cli.queue.moved", id=job["id"], place=options.place))
            case "clear":
                print(run.say("cli.queue.cleared", count=client.cancel_waiting(**everybodys)))
            case _:
                found = client.jobs(
                    state=["queued", "running"],
                    oldest_first=True,
                    limit=options.limit,
                    **everybodys,
                )
                if options.json:
                    run.print_json(found)
                    return OK
                print(run.say("cli.queue.counts", **found["counts"]))
                for job in found["jobs"]:
                    asked = GenerationRequest.model_validate(job["request"])
                    prompt = " ".join(asked.prompt.split())
                    print(f"{job['id']}\t{job['state']}\t{asked.pictures}\t{prompt[:70]}")
    return OK


def _pictures(run: Run, client: Client, asked: GenerationRequest) -> int:
    target = run.options.output
    export = export_to(target) if target else None
    number = client.submit(**asked.model_dump(mode="json", exclude_defaults=True))["id"]
    try:
        job = client.wait(number)
    except KeyboardInterrupt:
        client.cancel(number)
        raise
    with tempfile.TemporaryDirectory() as folder:
        files = [_fetched(client, picture, Path(folder)) for picture in job["pictures"]]
        export = export or (export_to(str(Path.cwd())) if files else None)
        kept = export.save(files) if export else files
    _report(run, job, kept)
    if job["state"] == "failed":
        raise Failed(_said(run, NoisetteError(200, job["error"] or {})))
    return OK if job["state"] == "done" else INTERRUPTED


def _fetched(client: Client, picture: dict[str, Any], folder: Path) -> Path:
    file = folder / f"{picture['job']:05d}-{picture['index']:02d}-{picture['seed']}.png"
    file.write_bytes(client.file(picture["id"]))
    return file


def _report(run: Run, job: dict[str, Any], files: Sequence[Path]) -> None:
    warnings = [each["messages"].get(run.language, each["message"]) for each in job["warnings"]]
    if run.options.json:
        run.print_json(
            {
                "job": job["id"],
                "state": job["state"],
                "pictures": [
                    {"file": str(file), **{key: one[key] for key in ("seed", "width", "height")}}
                    for file, one in zip(files, job["pictures"], strict=True)
                ],
                "request": job["request"],
                "warnings": warnings,
                "error": job["error"] and job["error"]["messages"].get(run.language),
            }
        )
        return
    for warning in warnings:
        note(warning)
    for file in files:
        print(file)


class _Inputs:
    """What `words.img2img` asks of the input pictures, answered by the server."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sizes: dict[str, tuple[int, int]] = {}

    def add(self, data: bytes, name: str = "upload") -> str:
        found = self._client.hand_in(data)
        self._sizes[found["id"]] = found["width"], found["height"]
        return str(found["id"])

    def size(self, name: str) -> tuple[int, int]:
        return self._sizes[name]


def _card(client: Client, name: str | None) -> ModelCard:
    cards = client.models()
    for each in cards:
        if each["default"] if name is None else each["name"].casefold() == name.casefold():
            known = {key: value for key, value in each.items() if key in ModelCard.model_fields}
            return ModelCard.model_validate({**known, "path": Path(each["name"])})
    raise UserError("cli.server.model", found=name or "", names=", ".join(c["name"] for c in cards))


@contextmanager
def _client(run: Run) -> Iterator[Client]:
    """A client of the server that was named; what it refuses is said in the person's language."""
    options: argparse.Namespace = run.options
    try:
        yield Client(
            options.server,
            visitor=_visitor(run),
            token=options.token or os.environ.get("NOISETTE_TOKEN"),
        )
    except ValueError as error:
        if "address of a server" not in str(error):
            raise
        raise UserError("cli.server.address", found=options.server) from error
    except NoisetteError as error:
        raise _said(run, error) from error
    except OSError as error:
        raise UserError("cli.server.gone", url=options.server, why=reason(error)) from error
    except http.client.HTTPException as error:
        what = type(error).__name__
        raise UserError("cli.server.gone", url=options.server, why=what) from error


def _visitor(run: Run) -> str:
    """The same jobs again with the next command: an id that follows from a secret of this installation."""
    file = run.settings.data_dir / "data" / "visitor"
    try:
        secret = file.read_text(encoding="ascii").strip()
    except OSError:
        import secrets

        secret = secrets.token_hex(16)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(secret, encoding="ascii")
        file.chmod(0o600)
    return hashlib.sha256(f"{VISITOR}{secret}".encode()).hexdigest()[:32]


def _said(run: Run, error: NoisetteError) -> UserError:
    text = error.messages.get(run.language) or str(error)
    return UserError("doctor.says", what=text)
