"""From a client's txt2img or img2img to requests of ours, with what its author should know."""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue, ValidationError

from modules.api.v1.models import Checkpoints
from modules.api.v1.options import MODEL, Draft, checked, draft
from modules.api.v1.recall import recalled
from modules.api.v1.shapes import Generate, Img2Img, Txt2Img
from modules.api.v1.source import img2img_groups
from modules.diffusion.capabilities import CAPABILITIES, Capabilities
from modules.diffusion.prompts import networks
from modules.errors import UserError
from modules.plugins.script import Keep, Part
from modules.plugins.scripts import Called, Scripts
from modules.schema import GenerationRequest, ModelCard
from modules.schema.options import MAX_SEED
from modules.schema.problems import explain

if TYPE_CHECKING:
    from modules.services.front import Studio

_SAME = ("", "none", "use same", "use same checkpoint", "use same sampler", "use same scheduler")
_MOST = 100


@dataclass
class Asked:
    """What a client asked for: one request, or one for each of several pictures to begin with."""

    requests: list[GenerationRequest]
    suffix: str = ".png"
    detected_maps: bool = True
    """Whether pictures of scripts follow the job's own."""
    warnings: list[UserError] = field(default_factory=list)
    called: list[Called] = field(default_factory=list)


class Translator:
    """Looks names up; nothing is queued here."""

    def __init__(
        self,
        studio: "Studio",
        checkpoints: Checkpoints,
        scripts: Scripts,
        stored: Callable[[], Mapping[str, JsonValue]],
        keep_of: Callable[[str], Keep],
    ) -> None:
        """`keep_of`: how pictures are handed in for a client."""
        self._studio = studio
        self._checkpoints = checkpoints
        self._scripts = scripts
        self._stored = stored
        self._keep_of = keep_of

    def __call__(self, body: Generate, client: str) -> Asked:
        """The requests; their pictures are the client's.

        Raises:
            UserError: a name that is none, a picture that is none, or what cannot be asked for.
        """
        keep = self._keep_of(client)
        body, told = recalled(body, self._studio.read_parameters)
        own, idle = checked(body.override_settings or {})
        options = draft(self._stored(), own)
        asked = Asked([], options.suffix, not options.no_detected_maps)
        if idle:
            asked.warnings.append(UserError("error.v1.option.idle", names=", ".join(sorted(idle))))
        card = self._card(options, body)
        fields = self._fields(body, options, card, asked.warnings)
        self._forgive(fields, asked)
        extras = told | self._extras(body, options, asked, keep)
        if isinstance(body, Txt2Img):
            fields |= self._hires(body, fields, card)
            if "hires" in fields:
                self._forgive(fields["hires"], asked)
            starts: list[Any] = [None]
        else:
            assert isinstance(body, Img2Img)  # there is no third
            starts = img2img_groups(body, options.img2img, keep, asked.warnings)
        fields |= {"extras": extras, "sampler_options": self._sampler(body, options, fields)}
        asked.requests = _spread(fields, starts)
        return asked

    def _card(self, options: Draft, body: Generate) -> ModelCard:
        named = options.fields.get("model")
        override = (body.override_settings or {}).get(MODEL)
        return self._checkpoints.find(str(override) if override else named)

    def _fields(
        self, body: Generate, options: Draft, card: ModelCard, warnings: list[UserError]
    ) -> dict[str, Any]:
        sent = {name for name in body.model_fields_set if getattr(body, name) is not None}
        prompts = {"prompt": body.prompt or "", "negative_prompt": body.negative_prompt or ""}
        if body.disable_extra_networks:
            prompts["prompt"] = networks.extract(prompts["prompt"])[0]
        fields: dict[str, Any] = {
            **options.fields,
            **prompts,
            "model": card.name,
            "steps": _or(body.steps, 50),
            "cfg_scale": _cfg(body, sent, card),
            "sampler": body.sampler_name or body.sampler_index or "Euler",
            "schedule": body.scheduler or "automatic",
            "seed": _seed(body.seed),
            "batch_size": _or(body.batch_size, 1),
            "batch_count": _or(body.n_iter, 1),
        }
        fields["width"], fields["height"] = _size(body, card, warnings)
        if body.tiling is not None:
            fields["tiling"] = "both" if body.tiling else "off"
        strength = max(0.0, body.subseed_strength or 0.0)
        if strength:
            fields["variation"] = {"seed": _seed(body.subseed), "strength": strength}
        wide, high = body.seed_resize_from_w or 0, body.seed_resize_from_h or 0
        if wide > 0 and high > 0:
            fields["seed_resize"] = {"width": wide, "height": high}
        if not _is_same(body.refiner_checkpoint):
            refiner = self._checkpoints.find(body.refiner_checkpoint)
            fields["refiner"] = {
                "model": refiner.name,
                "switch_at": _or(body.refiner_switch_at, 0.8),
            }
        return fields

    def _forgive(self, fields: dict[str, Any], asked: Asked) -> None:
        if fields.get("prompt"):
            fields["prompt"], told = self._scripts.forgive(fields["prompt"])
            asked.warnings += told

    def _hires(self, body: Txt2Img, fields: dict[str, Any], card: ModelCard) -> dict[str, Any]:
        if body.firstpass_image:
            raise UserError("error.v1.unsupported", field="firstpass_image")
        if not body.enable_hr:
            return {}
        if not _is_same(body.hr_checkpoint_name):
            other = self._checkpoints.find(body.hr_checkpoint_name)
            if other.name != card.name:
                raise UserError("error.v1.unsupported", field="hr_checkpoint_name")
        wide, high = max(0, body.hr_resize_x or 0), max(0, body.hr_resize_y or 0)
        sizes: dict[str, Any] = {}
        if (body.firstphase_width or 0) > 0 and (body.firstphase_height or 0) > 0:
            # As it once was: width and height are those of the result.
            wide, high = fields["width"], fields["height"]
            sizes = {"width": body.firstphase_width, "height": body.firstphase_height}
        hires: dict[str, Any] = {
            "upscaler": body.hr_upscaler or "Latent",
            "scale": _or(body.hr_scale, 2.0),
            "width": wide,
            "height": high,
            "steps": max(0, body.hr_second_pass_steps or 0),
            "denoising_strength": _or(body.denoising_strength, 0.75),
            "sampler": None if _is_same(body.hr_sampler_name) else body.hr_sampler_name,
            "schedule": None if _is_same(body.hr_scheduler) else body.hr_scheduler,
            "prompt": body.hr_prompt or None,
            "negative_prompt": body.hr_negative_prompt or None,
        }
        if _able(card).guidance == "distilled":
            hires["cfg_scale"] = body.hr_distilled_cfg
        else:
            hires["cfg_scale"] = body.hr_cfg
        return {**sizes, "hires": hires}

    def _sampler(self, body: Generate, options: Draft, fields: Mapping[str, Any]) -> dict[str, Any]:
        found = dict(options.sampler_options)
        for name, usual in (("s_churn", 0.0), ("s_tmin", 0.0), ("s_tmax", 0.0), ("s_noise", 1.0)):
            value = getattr(body, name)
            if value is not None:
                found[name] = value
            if found.get(name) == usual:
                found.pop(name)  # 0 as the end means that there is none
        eta = self._eta(body, options, fields)
        return found if eta is None else {**found, "eta": eta}

    def _eta(self, body: Generate, options: Draft, fields: Mapping[str, Any]) -> float | None:
        """Clients send an eta with every sampler; those that draw no noise by themselves take none, DDIM apart."""
        asked = str(fields["sampler"]).strip().casefold()
        row = next(
            (
                row
                for row in sorted(self._studio.samplers, key=lambda row: -len(row.label))
                if any(
                    asked == name.casefold() or asked.startswith(name.casefold() + " ")
                    for name in (row.name, row.label, *row.aliases)
                )
            ),
            None,
        )
        if row is None:
            return None  # no such sampler: that is said where names are looked up
        ddim = row.name.startswith("ddim")
        if not ddim and not row.eta:
            return None
        eta = body.eta if body.eta is not None else options.eta_ddim if ddim else None
        if eta is None and options.eta_ancestral != 1.0:
            eta = options.eta_ancestral
        return None if eta == row.eta else eta

    # ------------------------------------------------------------------------------------------- extensions

    def _extras(
        self, body: Generate, options: Draft, asked: Asked, keep: Keep
    ) -> dict[str, dict[str, Any]]:
        extras: dict[str, dict[str, Any]] = {}

        def add(called: Called, args: Any) -> None:
            found = self._scripts.read(called, args, keep)
            if found is not None:
                extras[called.extension] = {**extras.get(called.extension, {}), **found}
                asked.called.append(called)

        if body.styles:
            add(self._serving("prompt_styles"), body.styles)
        wanted = options.restore_faces if body.restore_faces is None else body.restore_faces
        if wanted:
            add(self._serving("restore_faces"), {"model": options.face_model, "visibility": 1.0})
        for title, given in (body.alwayson_scripts or {}).items():
            args = given.get("args") if isinstance(given, Mapping) else given
            if args is not None and not isinstance(args, list | Mapping):
                raise UserError("error.v1.script.args", script=title[:200])
            add(self._scripts.find(title, always_on=True), args or [])
        if not _is_same(body.script_name):
            assert body.script_name is not None
            add(self._scripts.find(body.script_name, always_on=False), body.script_args or [])
        return extras

    def _serving(self, part: Part) -> Called:
        called = self._scripts.serving(part)
        if called is None:
            raise UserError("error.v1.nobody", part=UserError(f"v1.part.{part}"))
        return called


# ---------------------------------------------------------------------------------------------------- values


def _spread(fields: dict[str, Any], starts: list[Any]) -> list[GenerationRequest]:
    """One request; or, for several pictures to begin with, one for each picture to be made, its seed counted on."""
    if len(starts) == 1:
        return [made({**fields, "img2img": starts[0]})]
    if len(starts) > fields["batch_size"]:
        raise UserError("error.v1.too_many_images", found=len(starts), most=fields["batch_size"])
    first = made({**fields, "img2img": starts[0], "batch_size": 1, "batch_count": 1})
    count = len(starts) * max(1, fields["batch_count"])
    if count > _MOST:
        raise UserError("error.v1.too_many_images", found=count, most=_MOST)
    first = first.drawn(lambda: secrets.randbelow(MAX_SEED + 1))
    return [_at(first, number, starts[number % len(starts)]) for number in range(count)]


def _at(first: GenerationRequest, number: int, start: Any) -> GenerationRequest:
    """A request of one picture as picture `number` of one job would have it."""
    changes: dict[str, Any] = {"seed": first.seed_of(number), "img2img": start}
    if first.variation is not None:
        seed = first.variation_seed_of(number)
        changes["variation"] = {**first.variation.model_dump(), "seed": seed}
    return first.replace(**changes)


def made(fields: Mapping[str, Any]) -> GenerationRequest:
    """The request of these fields.

    Raises:
        UserError: names the field, and what was found in it.
    """
    try:
        return GenerationRequest.model_validate(dict(fields))
    except ValidationError as error:
        wrong = explain(error)
        raise UserError(
            "error.field", field=wrong.field, found=wrong.found, why=wrong.why
        ) from error


def _able(card: ModelCard) -> Capabilities:
    return CAPABILITIES.get(card.family, Capabilities())


def _cfg(body: Generate, sent: set[str], card: ModelCard) -> float:
    if _able(card).guidance == "distilled" and not (
        "cfg_scale" in sent and "distilled_cfg_scale" not in sent
    ):
        return _or(body.distilled_cfg_scale, 3.5)
    return _or(body.cfg_scale, 7.0)


def _size(body: Generate, card: ModelCard, warnings: list[UserError]) -> tuple[int, int]:
    """What was sent. 512 x 512 is what clients send that say nothing: a model that cannot do that makes its own size."""
    size = (_or(body.width, 512), _or(body.height, 512))
    allowed, usual = card.size_limits, card.defaults
    if size != (512, 512) or allowed.minimum <= 512 <= allowed.maximum:
        return size
    names = {"model": card.name, "size": f"{usual.width} x {usual.height}"}
    warnings.append(UserError("warning.v1.size", **names))
    return usual.width, usual.height


def _seed(value: int | None) -> int:
    return -1 if value is None or value < 0 else value


def _is_same(name: str | None) -> bool:
    return (name or "").strip().casefold() in _SAME


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
