"""What a model's family cannot do is said where a request is resolved, so before it waits in the queue."""

import pytest

from modules.errors import UserError
from modules.schema import GenerationRequest, Limits, ModelDefaults
from modules.services.names import SamplerNames
from modules.services.resolving import resolve
from tests.services.fakes import CARD

FLUX = CARD.model_copy(
    update={"family": "flux1", "name": "flux", "defaults": ModelDefaults(sampler="euler")}
)


def _resolved(**fields):
    return resolve(GenerationRequest(**fields), FLUX, Limits(), SamplerNames())


def test_a_plain_request_is_taken():
    found = _resolved(prompt="a cat (asleep)", sampler="Euler")
    assert (found.sampler, found.schedule) == ("euler", "default")


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"hires": {}}, "hires fix"),
        ({"negative_prompt": "blurred"}, "a negative prompt"),
        ({"sampler": "DPM++ 2M Karras"}, "DPM++ 2M, Karras"),
        ({"prompt": "(a:1.3)"}, "(a:1.3)"),
    ],
)
def test_more_is_refused_by_name(fields, what):
    with pytest.raises(UserError) as caught:
        _resolved(**fields)
    assert what in str(caught.value)
    assert "flux" in caught.value.message("zh")
