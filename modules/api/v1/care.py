"""Settings, memory and the program itself: for the owner, as in every API of this program."""

import shutil
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, HTTPException
from pydantic import JsonValue

from modules.api.v1.answers import Refusal
from modules.api.v1.models import Checkpoints
from modules.api.v1.options import HASH, MODEL, VAE, Draft, by_name, checked, draft, is_path
from modules.api.v1.shapes import Created
from modules.api.v1.translate import made
from modules.api.v2.answers import Denied
from modules.api.v2.callers import Callers
from modules.errors import UserError
from modules.services.web_options import WebOptions
from modules.settings import Settings

if TYPE_CHECKING:
    from modules.services.front import Studio

_GONE_SECONDS = 0.2
_ANY_PICTURE = "0" * 64
_SECRET = ("token", "password", "secret", "auth")


def care_routes(
    studio: "Studio",
    callers: Callers,
    checkpoints: Checkpoints,
    stored: WebOptions,
    settings: Settings,
) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["care"])
    owner = [Depends(callers.owner)]

    @router.get("/options")
    def options() -> dict[str, Any]:
        """The settings that mean something here, and those that clients have set."""
        kept = {name: value for name, value in stored.read().items() if not is_path(name)}
        now = {name: row.default for name, row in by_name().items()} | kept
        card = checkpoints.default(str(now[MODEL] or ""))
        now[MODEL] = checkpoints.title(card) if card else None
        now[HASH] = checkpoints.sha256(card) or None if card else None
        return now

    @router.post("/options", dependencies=owner)
    def set_options(values: dict[str, JsonValue]) -> None:
        """Set defaults of this API, for its next requests; a name or value that cannot be changes nothing.

        A path is refused, from this machine too: the data folder is named at the start.
        """
        found, idle = checked(values)
        paths = sorted(filter(is_path, values))
        if paths:
            raise Denied("error.v1.option.path", names=", ".join(paths))
        model = found.get(MODEL)
        if model:
            found[MODEL] = checkpoints.find(str(model)).name
        vae = str(found.get(VAE) or "")
        if vae.casefold() not in ("", "none", "automatic"):
            found[VAE] = studio.vae(vae)
        _possible(draft(found))
        stored.set({**found, **{name: values[name] for name in idle if name != HASH}})

    @router.get("/cmd-flags", dependencies=owner)
    def cmd_flags() -> dict[str, Any]:
        """What the program was started with; nothing that opens doors."""
        found = settings.model_dump(mode="json")
        return {
            name: value
            for name, value in found.items()
            if not any(word in name.casefold() for word in _SECRET)
        }

    @router.get("/memory", dependencies=owner)
    def memory() -> dict[str, Any]:
        """Of this machine. The figures of a graphics card are those of its driver, where it has a tool for that."""
        import psutil

        ram = psutil.virtual_memory()
        used = psutil.Process().memory_info().rss
        return {
            "ram": {"free": ram.total - used, "used": used, "total": ram.total},
            "cuda": _cuda(),
        }

    @router.post("/unload-checkpoint", dependencies=owner)
    def unload() -> dict[str, Any]:
        """Let go of everything that is loaded, unless a job runs; the next job loads what it needs."""
        studio.unload()
        return {}

    @router.post("/reload-checkpoint", dependencies=owner)
    def reload() -> dict[str, Any]:
        """Load the default model ahead, in the background."""
        studio.reload()
        return {}

    def stop() -> str:
        if not settings.api_server_stop:
            raise HTTPException(404, UserError("error.v1.server_stop").message())
        # After the answer has gone out. What runs goes back into the queue.
        threading.Timer(_GONE_SECONDS, signal.raise_signal, (signal.SIGTERM,)).start()
        return "Stopping."

    # What is off, or is nobody's to have, is declared as the refusal that it is.
    may = {} if settings.api_server_stop else _always(404, "The setting `api_server_stop` is off")
    never = _always(501, "Nobody is there to start the program again")

    @router.post("/server-stop", dependencies=owner, **may)
    def server_stop() -> str:
        """End the program, where the setting `api_server_stop` allows it; what waits is done after the next start."""
        return stop()

    @router.post("/server-kill", dependencies=owner, **may)
    def server_kill() -> str:
        """As `server-stop`: there is no rougher end."""
        return stop()

    @router.post("/server-restart", dependencies=owner, **(may or never))
    def server_restart() -> str:
        """Nobody is there to start the program again, so it is refused."""
        if not settings.api_server_stop:
            raise HTTPException(404, UserError("error.v1.server_stop").message())
        raise HTTPException(501, UserError("error.v1.server_restart").message())

    for path in (
        "/create/embedding",
        "/create/hypernetwork",
        "/train/embedding",
        "/train/hypernetwork",
    ):
        router.add_api_route(
            path,
            _no_training,
            methods=["POST"],
            **_always(404, "There is no training"),
        )
    return router


def _always(status: int, why: str) -> dict[str, Any]:
    """How a route is declared that answers everybody with the same refusal."""
    said = {"model": Refusal, "description": why}
    return {"status_code": status, "response_model": Refusal, "responses": {status: said}}


def _possible(options: Draft) -> None:
    """Whether a request can hold these values at all: one that is out of bounds would stop every later request.

    Raises:
        UserError: names the field of a request that cannot.
    """
    for eta in (options.eta_ancestral, options.eta_ddim):
        made(
            {
                **options.fields,
                "sampler_options": {**options.sampler_options, "eta": eta},
                "img2img": {"image": _ANY_PICTURE, **options.img2img},
            }
        )


def _no_training(body: Created) -> dict[str, str]:
    """Refused: this program does not train."""
    raise UserError("error.v1.training")


def _cuda() -> dict[str, Any]:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return {"error": "unavailable"}
    words = [
        tool,
        "--query-gpu=memory.free,memory.used,memory.total",
        "--format=csv,noheader,nounits",
    ]
    try:
        said = subprocess.run(words, capture_output=True, text=True, timeout=5, check=True).stdout
        free, used, total = (int(each) * 2**20 for each in said.splitlines()[0].split(","))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        return {"error": type(error).__name__}
    here = {"current": used, "peak": used}
    return {
        "system": {"free": free, "used": used, "total": total},
        "active": here,
        "allocated": here,
        "reserved": here,
        "inactive": {"current": 0, "peak": 0},
        "events": {"retries": 0, "oom": 0},
    }
