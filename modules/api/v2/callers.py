"""Who asks, and whose jobs and pictures he may see."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query, Request

from modules.api.face import Visitors
from modules.api.v2.answers import Denied
from modules.services.access import Exposure, is_owner
from modules.services.jobs import Clients


@dataclass(frozen=True)
class Callers:
    """Tells callers apart by the same cookie as the page does, so that both show the same jobs.

    What routes depend on is async: what never waits needs no thread of the pool to itself, and those are dear.
    """

    visitors: Visitors
    exposure: Exposure

    def name(self, request: Request) -> str:
        """The client under which a job is submitted."""
        return self.visitors.client(request)

    def own(self, request: Request) -> tuple[str, ...]:
        """Everybody that the caller is."""
        return self.visitors.who(request)

    async def scope(
        self,
        request: Request,
        all: Annotated[
            bool, Query(description="everybody's instead of one's own; for the owner")
        ] = False,
    ) -> Clients | None:
        """Whose jobs the request is about; None is everybody's.

        Raises:
            Denied: everybody's were asked for by somebody else than the owner.
        """
        if not all:
            return self.own(request)
        self.must_be_owner(request)
        return None

    async def owner(self, request: Request) -> None:
        """`must_be_owner`, for a route to depend on."""
        self.must_be_owner(request)

    def must_be_owner(self, request: Request) -> None:
        """Only the owner goes on.

        Raises:
            Denied: it is somebody else.
        """
        if not is_owner(self.exposure, request):
            raise Denied("error.api.owner")
