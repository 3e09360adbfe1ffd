"""`noisette serve --share` with a tunnel that ends at this machine: `python tests/browser/serve_shared.py serve --share …`.

Everything is the program's own but the tunnel's other end: what runs in frpc's place prints an address below
`.localhost`, which a browser takes to this machine without asking anybody.
"""

import stat
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from modules import cli
from modules.cli import access
from modules.services.tunnel import Frpc, Server

NAME = "friends.localhost"
_FRPC = """#!{python}
import sys, time
port = sys.argv[sys.argv.index("-l") + 1]
print("[x] start proxy success: http://{name}:" + port, flush=True)
time.sleep(3600)
"""


def _program(folder: Path) -> Path:
    """What runs in frpc's place."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "frpc"
    file.write_text(_FRPC.format(python=sys.executable, name=NAME), encoding="utf-8")
    file.chmod(file.stat().st_mode | stat.S_IEXEC)
    return file


if __name__ == "__main__":
    server = Server("198.51.100.9", 7000, "-----BEGIN CERTIFICATE-----\n")
    access.Frpc = partial(Frpc, server=lambda: server, program=_program)  # type: ignore[assignment,misc]
    sys.exit(cli.main())
