"""`noisette serve`: the page and its queue, until Ctrl-C or SIGTERM."""

import threading
import time
from typing import TYPE_CHECKING

from modules.cli.access import OPENING, door_for, opening_file, owner_link, sharing_for, told
from modules.cli.run import OK, POLL_SECONDS, Run, Terminated, note
from modules.errors import StorageError, UserError
from modules.services.door import Door
from modules.services.instance import InstanceLock
from modules.services.reach import EVERYWHERE, Reach

if TYPE_CHECKING:
    from modules.services.front import Studio


def serve(run: Run) -> int:
    """Serve the page until it is told to end."""
    from modules.api.server import exposure_of, listen, serve
    from modules.app import build_app
    from modules.services.heap import building

    settings = run.settings
    door = door_for(run, exposure_of(settings))
    reach = Reach(settings.host, settings.allowed_hosts)
    sharing = sharing_for(run, door, reach)
    # The port first: whoever asked for a taken one need not wait for the data folder to hear of it.
    try:
        taken = listen(settings.host, settings.port)
    except UserError:
        if InstanceLock(settings.data_dir).holder().url:
            turn(run).release()  # says where the other page is, which is what holds the port
        raise
    with taken as sock, turn(run) as lock, building() as built:
        port = int(sock.getsockname()[1])
        url = f"http://{_reachable(settings.host)}:{port}/"
        lock.tell(url)
        app = build_app(settings.model_copy(update={"port": port}), door, reach, sharing)

        def opened() -> None:
            built()
            _opened(run, url, app.studio, door)
            if sharing is not None:
                print(run.say("cli.share.opening"), flush=True)
                sharing.start(port)

        try:
            serve(app.asgi, sock, opened, app.studio.end_waiting)
        except Terminated:
            return OK
        finally:
            (settings.data_dir / "data" / OPENING).unlink(missing_ok=True)
            app.close()
    return OK


def turn(run: Run) -> InstanceLock:
    """The lock of the data folder; where a command makes pictures there, once it is done.

    Raises:
        UserError: another page is there, and stays.
    """
    from modules.services.restore import resume

    lock = InstanceLock(run.settings.data_dir)
    told = False
    while True:
        try:
            lock.acquire()
            resume(run.settings.data_dir)  # a restore that was broken off
            return lock
        except StorageError:
            raise
        except UserError:
            holder = lock.holder()
            if holder.url:
                raise
            if not told:
                told = True
                note(run.say("cli.serve.waiting", pid=holder.pid or "?"))
            time.sleep(POLL_SECONDS)


def _opened(run: Run, url: str, studio: "Studio", door: Door) -> None:
    """The page answers: start the queue (its worker would only have slowed the page down before) and say where it is."""
    studio.start()
    settings = run.settings
    print(run.say("cli.serve.ready", url=url), flush=True)
    target = url
    if door.exposure.beyond_this_machine:
        print(told(run, door, url, settings.host), flush=True)
    if settings.open_browser:
        import webbrowser

        if door.exposure.beyond_this_machine:
            target = opening_file(settings.data_dir / "data", owner_link(door, url)).as_uri()

        threading.Thread(target=webbrowser.open, args=(target,), daemon=True).start()


def _reachable(host: str) -> str:
    if host in EVERYWHERE:  # what was asked for; the link must name a real address
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
