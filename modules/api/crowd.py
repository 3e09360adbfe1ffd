"""How many requests of others are answered at once: of one guest, of all guests, and of those who are not logged in.

So that who keeps hundreds of answers open (streams of events, answers that he never reads) leaves room for the rest,
and for the owner above all. Used by one thread, the server's.
"""

from collections import Counter
from dataclasses import dataclass, field

from modules.services.access import Role


@dataclass
class Crowd:
    """Who is being answered."""

    of_one_guest: int = 40
    of_guests: int = 400
    of_strangers: int = 200
    _guests: Counter[str] = field(default_factory=Counter)
    _strangers: int = 0

    def enter(self, role: Role, name: str) -> int | None:
        """None if one more is answered, else how many are at the most."""
        if role is Role.OWNER:
            return None
        if role is Role.ANYBODY:
            if self._strangers >= self.of_strangers:
                return self.of_strangers
            self._strangers += 1
            return None
        if self._guests[name] >= self.of_one_guest:
            return self.of_one_guest
        if self._guests.total() >= self.of_guests:
            return self.of_guests
        self._guests[name] += 1
        return None

    def leave(self, role: Role, name: str) -> None:
        """One is over that had entered."""
        if role is Role.ANYBODY:
            self._strangers -= 1
        elif role is Role.GUEST:
            self._guests[name] -= 1
            if not self._guests[name]:
                del self._guests[name]
