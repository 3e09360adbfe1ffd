"""Whom `serve` lets in, as asked for on the command line; and `noisette token`.

A password is never a word of the command line: every user of a machine sees the words of every program.
"""

import argparse
import getpass
import os
import socket
import sys
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING

from modules.cli.run import OK, Run
from modules.errors import UserError, reason
from modules.services.access import LOCAL_NAMES, Exposure
from modules.services.door import Door
from modules.services.passes import Passes
from modules.services.reach import EVERYWHERE, Reach
from modules.services.sharing import Share, Sharing
from modules.services.tunnel import Frpc

if TYPE_CHECKING:
    from modules.cli.request import Say

PASSWORD = "NOISETTE_PASSWORD"
OPENING = "open.html"


def add_serve(parser: argparse.ArgumentParser, say: "Say", number: Callable[[str], float]) -> None:
    """The options of `serve` about others."""
    parser.add_argument(
        "--listen", action="store_const", const=EVERYWHERE[0], dest="host", help=say("listen")
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        dest="allowed_hosts",
        metavar="NAME",
        help=say("allow_host"),
    )
    parser.add_argument("--share", action="store_true", default=None, help=say("share"))
    parser.add_argument("--share-hours", type=number, metavar="N", help=say("share_hours"))
    parser.add_argument("--password", action="store_true", help=say("password"))
    parser.add_argument("--password-file", type=Path, metavar="FILE", help=say("password_file"))


def add_token(parser: argparse.ArgumentParser, say: "Say", number: Callable[[str], float]) -> None:
    """The words of `token`."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=("list", "add", "remove"),
        default="list",
        help=say("token_action"),
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help=say("token_name"))
    parser.add_argument("--owner", action="store_true", help=say("token_owner"))
    parser.add_argument("--days", type=number, metavar="N", help=say("token_days"))
    parser.add_argument("--json", action="store_true", help=say("json"))


def passes_of(run: Run) -> Passes:
    """The tokens of this installation."""
    return Passes(run.settings.data_dir / "data" / "tokens.json")


def door_for(run: Run, exposure: Exposure, environ: MutableMapping[str, str] = os.environ) -> Door:
    """The door of this run.

    Raises:
        UserError: the password is too short, or its file cannot be read.
    """
    return Door(exposure, password=_password(run, environ), passes=passes_of(run))


def _password(run: Run, environ: MutableMapping[str, str]) -> str | None:
    # Taken out at once, so that no program that is started from here inherits it.
    given = environ.pop(PASSWORD, "")
    file = run.settings.password_file
    if run.options.password:
        return getpass.getpass(run.say("cli.serve.password.ask"))
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            why = reason(error) if isinstance(error, OSError) else UserError("why.encoding")
            raise UserError("cli.serve.password.file", path=file, why=why) from error
        given = lines[0].strip() if lines else ""
        if not given:
            raise UserError("cli.serve.password.empty", path=file)
    return given or None


def told(run: Run, door: Door, url: str, host: str) -> str:
    """What the terminal says of how others come in: the only place where a made password is shown."""
    lines = [run.say("cli.serve.owner", url=owner_link(door, url))]
    if host in EVERYWHERE:
        lines += [run.say("cli.serve.others", url=url.replace("127.0.0.1", _own_address()))]
    elif host not in LOCAL_NAMES or door.exposure.names:
        lines += [run.say("cli.serve.others", url=", ".join(door.exposure.names or (url,)))]
    if door.made:
        lines.append(run.say("cli.serve.password.made", password=door.password))
    else:
        lines.append(run.say("cli.serve.password.given"))
    return "\n".join(lines)


def sharing_for(run: Run, door: Door, reach: Reach) -> Sharing | None:
    """The public link, if one is asked for; what becomes of it is said at the terminal."""
    settings = run.settings
    if not settings.share:
        return None

    def told(share: Share) -> None:
        until = time.strftime("%H:%M", time.localtime(share.ends))
        key = f"cli.share.{share.state}"
        print(run.say(key, link=share.link, until=until, why=_said(run, share.why)), flush=True)

    tunnel = Frpc(settings.data_dir / "data" / "tunnel")
    return Sharing(tunnel, door, reach, hours=settings.share_hours, told=told)


def _said(run: Run, error: UserError | None) -> str:
    return "" if error is None else error.message(run.language)


def owner_link(door: Door, url: str) -> str:
    """The address that lets the owner in; what is behind "#" no browser sends along."""
    return f"{url}login#{door.owner_key}"


def opening_file(folder: Path, link: str) -> Path:
    """A page that leads to `link`, readable by its owner alone: a browser's words are seen by every user."""
    file = folder / OPENING
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "w", encoding="utf-8") as page:
        page.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={link}">')
    return file


def _own_address() -> str:
    """The address of this machine in its network; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # kept for documentation, RFC 5737: leads nowhere
            return str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()


def token(run: Run) -> int:
    """List, make or remove tokens."""
    passes, options = passes_of(run), run.options
    if options.action != "list" and not options.name:
        raise UserError("cli.token.which", action=options.action)
    match options.action:
        case "add":
            if options.days is not None and not 0 < options.days <= 36_500:
                raise UserError("cli.token.days", found=options.days)
            secret = passes.add(options.name, owner=options.owner, days=options.days)
            print(secret)
            print(run.say("cli.token.made", name=options.name), file=sys.stderr)
        case "remove":
            passes.remove(options.name)
            print(run.say("cli.token.removed", name=options.name))
        case _:
            rows = [
                {
                    "name": each.name,
                    "role": "owner" if each.owner else "guest",
                    "created": each.created,
                    "ends": each.ends,
                }
                for each in passes.all()
            ]
            if options.json:
                run.print_json(rows)
            elif not rows:
                print(run.say("cli.token.none"))
            else:
                for row in rows:
                    ends = "-" if row["ends"] is None else _day(float(str(row["ends"])))
                    print(f"{row['name']}\t{row['role']}\t{ends}")
    return OK


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
