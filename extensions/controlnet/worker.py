"""The worker part: from a request's units to what steers the model."""

from modules.plugins import GenerationRequest, Host, Options, hookimpl
from modules.plugins.adapters import Adapter, Parts

from .adapter import Control, Strand
from .checks import check_chosen
from .ip_adapter_encoder import Encoders
from .nets import Nets
from .options import ControlNetOptions


class ControlNetWorker:
    """Keeps what was read from control models between jobs."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._nets = Nets(host)
        self._encoders = Encoders(host)

    @hookimpl
    def prepare_generation(
        self, request: GenerationRequest, options: Options, parts: Parts
    ) -> Adapter | None:
        """The units that act, each with its control model and its map.

        Raises:
            UserError: a picture, a preprocessor's weights, a control model or an image encoder is missing, damaged, or for another model.
        """
        assert isinstance(options, ControlNetOptions)
        check_chosen(options.units)  # and the rest once more, unit by unit: files come and go
        acting = [unit for unit in options.units if unit.acts]
        if not acting:
            return None
        strands = [Strand(unit, self._nets.get(unit.model, parts)) for unit in acting]
        return Control(self._host, request, parts, strands, self._encoders)
