"""Who is looking: a random id in a cookie, so that F5, a closed tab or a restart lead back to the same jobs.

It is HttpOnly: no script has to know it, and a Gradio browser state could be read by any. Handlers of the page and
the routes of the API read the same cookie, the routes through `Page.visitors`.
"""

import re
import secrets
from collections.abc import Mapping

_ID = re.compile(r"[0-9a-f]{32}")


class Visitors:
    """Gives ids out and knows them again."""

    cookie = "noisette_visitor"
    anonymous = "api"
    """A caller without a cookie: curl, a script."""

    @staticmethod
    def new() -> str:
        """An id that nobody can guess."""
        return secrets.token_hex(16)

    @classmethod
    def of(cls, cookies: Mapping[str, str] | None) -> str:
        """The visitor that the cookies name."""
        found = (cookies or {}).get(cls.cookie, "")
        return found if _ID.fullmatch(found) else cls.anonymous
