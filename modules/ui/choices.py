"""What the lists of the page offer, from what the studio has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gradio.i18n import I18nData

from modules.diffusion.upscalers import LATENT_UPSCALERS
from modules.schema import ModelCard
from modules.texts import catalogue
from modules.ui.fields import Choices
from modules.ui.i18n import PREFIX, t

if TYPE_CHECKING:
    from modules.diffusion.schedules import Schedule
    from modules.services.front import Studio


def choose_card(cards: Sequence[ModelCard], name: Any) -> ModelCard | None:
    """The card of that name, else the first, else None."""
    return next((card for card in cards if card.name == name), cards[0] if cards else None)


def models(studio: "Studio") -> Choices:
    """The checkpoints."""
    return [(card.title or card.name, card.name) for card in studio.models().cards]


def samplers(studio: "Studio") -> Choices:
    """The samplers."""
    return [(sampler.label, sampler.name) for sampler in studio.samplers]


def schedules(studio: "Studio") -> Choices:
    """The schedules."""
    return [(name_of(schedule), schedule.name) for schedule in studio.schedules]


def name_of(schedule: "Schedule") -> str | I18nData:
    """A schedule's label: a proper name, but for those that the catalogue translates."""
    key = f"schedule.{schedule.name}"
    return t(key) if PREFIX + key in catalogue("en") else schedule.label


def upscalers(studio: "Studio") -> Choices:
    """What enlarges latents, then what enlarges pictures."""
    names = [*(row.name for row in LATENT_UPSCALERS), *studio.upscalers]
    return [(name, name) for name in names]


def refiners(studio: "Studio", model: Any) -> Choices:
    """Checkpoints that can go on with the latents of `model`; "" is none."""
    cards = studio.models().cards
    chosen = choose_card(cards, model)
    fitting = _FINISHES.get(chosen.family, (chosen.family,)) if chosen else ()
    found = [
        (card.title or card.name, card.name)
        for card in cards
        if chosen and card.family in fitting and card.name != chosen.name
    ]
    return [(t("refiner.off"), ""), *found]


_FINISHES = {"sdxl": ("sdxl_refiner", "sdxl"), "sdxl_refiner": ("sdxl_refiner", "sdxl")}
"""Families that share latents and noise levels; the others only with themselves."""


def vaes(studio: "Studio") -> Choices:
    """The VAE files; "" is the model's own."""
    return [(t("vae.own"), ""), *((name, name) for name in studio.vaes())]


def of(studio: "Studio", field: str, model: Any) -> Choices | None:
    """What a list offers now, for lists that change while the program runs; None for others."""
    match field:
        case "model":
            return models(studio)
        case "vae":
            return vaes(studio)
        case "refiner__model":
            return refiners(studio, model)
        case "hires__upscaler":
            return upscalers(studio)
    return None
