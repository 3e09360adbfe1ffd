"""What samplers and schedules are called, by the tables of the diffusion room (read without torch)."""

from collections.abc import Callable, Sequence

from modules.diffusion.samplers import Sampler, pick


class SamplerNames:
    """Spellings in, names of the tables out; names in, labels for people out.

    Args:
        more: the rows that extensions add, asked for each time: an extension may be switched on or off.
    """

    def __init__(self, more: Callable[[], Sequence[Sampler]] = tuple) -> None:
        self._more = more

    def canonical(self, sampler: str, schedule: str | None, fallback: str) -> tuple[str, str]:
        """The names of a sampler and a schedule, however they were spelled ("DPM++ 2M Karras" names both).

        Where no schedule is named it is `fallback`, if the sampler can follow that.

        Raises:
            UnknownNameError: lists those that exist.
            UserError: the sampler cannot follow the schedule.
        """
        row, chosen = pick(sampler, schedule or None, self._more())
        if not schedule and chosen.name == "default" and fallback in row.schedules:
            return row.name, fallback
        return row.name, chosen.name

    def labels(self, sampler: str, schedule: str) -> tuple[str, str]:
        """As the pages and the text in pictures write them."""
        row, chosen = pick(sampler, schedule or None, self._more())
        return row.label, chosen.label
