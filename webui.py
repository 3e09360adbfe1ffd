#!/usr/bin/env python3
"""Start Noisette: `python webui.py` serves the page, `python webui.py --help` lists the other commands."""

import sys

from modules.cli import main

if __name__ == "__main__":
    sys.exit(main())
