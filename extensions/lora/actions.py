"""The mixer's buttons: a strip of the first LoRA's weights, and a plane of the first two."""

from collections.abc import Sequence

from modules.plugins import Action, GenerationRequest, Planned, problem

from .sweep import plane, rows_in, strip

PLANE = (0.0, 0.5, 1.0)
"""Weights of each LoRA on the plane: nine pictures."""
ACTIONS = (
    Action("strip", "Strip: the first at 0 … 1", "权重条：第一项 0 … 1", "actions:strip_of_first"),
    Action("plane", "Plane: the first two", "权重平面：前两项", "actions:plane_of_two"),
)


def strip_of_first(request: GenerationRequest) -> Sequence[Planned]:
    """Five pictures of one seed, the first row at 0, 0.25 … 1; the other rows stay as they are."""
    return strip(request, _names(request, 1)[0])


def plane_of_two(request: GenerationRequest) -> Sequence[Planned]:
    """Nine pictures of one seed: the first row's weight across, the second's down."""
    first, second = _names(request, 2)
    return [cell for row in plane(request, (first, second), (PLANE, PLANE)) for cell in row]


def _names(request: GenerationRequest, count: int) -> list[str]:
    names = [row.name for row in rows_in(request)]
    if len(names) < count:
        raise problem(
            f"This takes {count} LoRA{'s' if count > 1 else ''} that {'are' if count > 1 else 'is'} on; "
            f"the mixer has {len(names)}.",
            f"需要 {count} 个已启用的 LoRA，混合器中有 {len(names)} 个。",
        )
    return names[:count]
