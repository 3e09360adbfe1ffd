"""The command line: `noisette <command>`, or `python webui.py <command>`; without a command it serves the page.

Importing this imports neither torch nor gradio, so that `--help`, `queue` and mistakes are answered at once.
Exit status: 0 done, 1 the work failed, 2 the request was wrong, 130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

from modules.cli.main import main

__all__ = ["main"]
