"""Addresses of the HTTP API."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Routes:
    """`build` names a function in `api.py` of the extension, `"api:router"`, that returns a FastAPI router.

    It is served at `/extensions/<name>/`, behind the same guard as everything else. Write the functions with `def`:
    an `async def` could hold up the page and is refused.
    """

    build: str = "api:router"
