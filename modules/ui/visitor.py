"""Who is looking: a random id in a cookie, so that F5, a closed tab or a restart lead back to the same jobs.

It is HttpOnly: no script has to know it, and a Gradio browser state could be read by any. Handlers of the page and
the routes of the API read the same cookie, the routes through `Page.visitors`.
"""

import re
import secrets
from collections.abc import Mapping
from typing import Any

from modules.services.access import GUEST_PREFIX, Role, identity_of, on_this_machine

COMMAND_LINE = "cli"
"""The client under which the command line submits its jobs."""

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

    @classmethod
    def client(cls, request: Any) -> str:
        """Under whom a job is kept that is submitted now; a guest's says so. `request` is Starlette's or Gradio's.

        A guest without a cookie is known by what he let himself in with.
        """
        visitor = cls.of(request.cookies)
        identity = identity_of(request)
        if identity is None or identity.role is Role.OWNER:
            return visitor
        return GUEST_PREFIX + (identity.name if visitor == cls.anonymous else visitor)

    @classmethod
    def who(cls, request: Any) -> tuple[str, ...]:
        """Everybody that the one who asks is: the visitor, and on this machine also who types commands.

        `request` is Starlette's or Gradio's.
        """
        visitor = cls.client(request)
        return (visitor, COMMAND_LINE) if on_this_machine(request) else (visitor,)
