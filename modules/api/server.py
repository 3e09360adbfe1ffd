"""The web application: our routes, the page, and the guard in front of both."""

import errno
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
import uvicorn
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from starlette.middleware import Middleware

from modules.api.assets import Assets
from modules.api.connections import Bounds, Connection, Room, Server
from modules.api.drafts import draft_routes
from modules.api.extensions import extension_routes, mount_own_routes
from modules.api.face import Page
from modules.api.files import file_routes
from modules.api.first_page import FirstPage
from modules.api.foreign import mount_foreign_routes
from modules.api.gate import Gate
from modules.api.guard import ASGI, Guard
from modules.api.inputs import input_routes
from modules.api.login import login_routes
from modules.api.postprocess import postprocess_routes
from modules.api.sharing import access_routes
from modules.api.threads import USUAL, Aside
from modules.api.v1.app import INTERNAL, v1_apps
from modules.api.v1.app import PREFIX as V1_PREFIX
from modules.api.v1.models import Hash
from modules.api.v2.app import PREFIX, v2_app
from modules.api.waiting import WaitingQueue
from modules.api.watch import watch_routes
from modules.errors import UserError, reason
from modules.services.access import Exposure
from modules.services.door import Door
from modules.services.reach import Reach
from modules.services.sharing import Sharing
from modules.settings import Settings

if TYPE_CHECKING:
    from modules.plugins.manager import Plugins
    from modules.services.extensions import Extensions
    from modules.services.front import Studio

log = logging.getLogger(__name__)

MAX_UPLOAD = 64 * 2**20
_MAX_BODY = MAX_UPLOAD + 2**20  # a form's envelope around the largest upload


def create_app(
    studio: "Studio",
    page: Page,
    settings: Settings,
    *,
    plugins: "Plugins | None" = None,
    desk: "Extensions | None" = None,
    door: Door | None = None,
    reach: Reach | None = None,
    sharing: Sharing | None = None,
    hash_of: Hash = lambda card: "",
) -> ASGI:
    """Everything that answers on the port, the guard outermost.

    Args:
        plugins: their own routes are served too.
        desk: installs and removes extensions; without it the page only shows them.
        door: whom to let in; without one it is made from the settings, with secrets that nobody is told.
        reach: under which names it is reached.
        sharing: the public link, if there is to be one.
        hash_of: the SHA-256 of a model's weights as far as it was ever computed, else "".
    """
    exposure = exposure_of(settings) if door is None else door.exposure
    door = door or Door(exposure)
    reach = reach or Reach(settings.host, settings.allowed_hosts)
    page.prepare(settings.data_dir / "data" / "gradio")
    app = FastAPI(
        title="Noisette",
        version=page.version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        # Gradio leaves CORS alone where the parent app has its own; without it every foreign page could read here.
        middleware=[Middleware(CORSMiddleware, allow_origins=[])],
    )

    @app.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, Any]:
        return {"status": "ok", "version": page.version}

    decoding = Aside()
    # First, as whoever drives it asks the most: the addresses of routers are tried one by one.
    v2 = v2_app(studio, page, exposure, plugins=plugins, max_upload=MAX_UPLOAD, decoding=decoding)
    app.mount(PREFIX, v2)
    app.include_router(login_routes(door))
    app.include_router(access_routes(studio, exposure, sharing))
    app.include_router(file_routes(studio, page.visitors))
    app.include_router(watch_routes(studio, page.visitors))
    app.include_router(draft_routes(studio.drafts, page.visitors))
    app.include_router(input_routes(studio, page.visitors, MAX_UPLOAD, decoding))
    app.include_router(postprocess_routes(studio, page.visitors))
    app.include_router(extension_routes(studio, desk, exposure))
    v1 = v1_apps(
        studio, page, settings, exposure, plugins=plugins, hash_of=hash_of, decoding=decoding
    )
    if plugins is not None:
        mount_own_routes(app, plugins)
        # Before the mounts, which take everything below their places.
        mount_foreign_routes(app, plugins, WaitingQueue(studio, page.visitors), v1.paths)
    app.mount(V1_PREFIX, v1.app)
    app.mount(INTERNAL, v1.internal)
    page.build()
    assets = Assets(page.files())
    app.include_router(assets.routes())
    page.mount(app, max_upload=MAX_UPLOAD)
    first = FirstPage(app, page.head(assets.address), page)
    return Guard(
        first,
        host=settings.host,
        port=settings.port,
        max_body=_MAX_BODY,
        reach=reach,
        gate=Gate(door, megabytes_per_hour=settings.guests.megabytes_per_hour),
    )


def exposure_of(settings: Settings) -> Exposure:
    """How far a server with these settings can be reached."""
    return Exposure(settings.host, settings.share, settings.allowed_hosts)


def listen(host: str, port: int) -> socket.socket:
    """Take the port, 0 for a free one; the caller learns it from `getsockname()`.

    Raises:
        UserError: the port is in use, or the address is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol by name: without it asyncio leaves the delay on that TCP makes of an answer in two pieces.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name != "nt":  # there it would let two programs share the port
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((host, port))
        taken.listen(128)
    except OSError as error:
        taken.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES) and port:
            raise UserError("error.port.used", host=host, port=port) from error
        raise UserError("error.address", host=host, port=port, why=reason(error)) from error
    return taken


class _Server(Server):
    """The server, with a word when it answers."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None] | None,
        on_end: Callable[[], None] | None,
    ) -> None:
        super().__init__(config, on_end)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # The pool of this loop: what Starlette and FastAPI give to threads.
        anyio.to_thread.current_default_thread_limiter().total_tokens = USUAL
        await super().startup(sockets)
        if self._on_ready is not None and not self.should_exit:
            self._on_ready()


def serve(
    app: ASGI,
    sock: socket.socket,
    on_ready: Callable[[], None] | None = None,
    on_end: Callable[[], None] | None = None,
) -> None:
    """Answer on a socket from `listen` until the process is told to stop; `on_ready` is called once it answers.

    `on_end` is called when it is told to, before it waits for the answers that are under way.
    """
    room = Room(Bounds.of_this_process())
    config = uvicorn.Config(
        app,
        http=cast(Any, partial(Connection, room=room)),
        log_config=None,  # as the rest of the program: one line on the terminal, the traceback in the file
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,  # nobody in front of us is trusted to say who is calling
        timeout_graceful_shutdown=3,
        ws="none",
        lifespan="on",
    )
    _Server(config, on_ready, on_end).run(sockets=[sock])
