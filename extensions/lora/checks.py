"""What can be said against rows and tags before a model is touched: when they are asked for, and once more in the job. No torch."""

from modules.plugins import GenerationRequest, UserError, check_adapters, problem

from .blends import Blends
from .card import Card, misfit
from .options import LoraOptions
from .rows import Row
from .shelf import File, Shelf
from .tags import reconcile, unread, unused


def check_rows(
    shelf: Shelf, blends: Blends, request: GenerationRequest, options: LoraOptions, family: str
) -> None:
    """Refuse what the job of these rows and tags would refuse, as far as names and the headers of files tell.

    Raises:
        UserError: a tag that cannot be read, a LoRA or blend that is not there or damaged, or of which nothing fits.
    """
    check_tags(request.prompt)
    acting = [row for row in blends.expand(reconcile(request.prompt, options.rows)) if acts(row)]
    files = [_file(shelf, row) for row in acting]
    cards = [shelf.card(file) for file in files if file is not None]
    if acting:
        check_adapters(("lora",), family, request.model or "")
    for card in cards:
        _check_fit(shelf, card, family, request.model or "")


def check_tags(prompt: str) -> None:
    """Look for tags that no row can be.

    Raises:
        UserError: there is one.
    """
    spoilt = [text for text in unread(prompt) if text.startswith("<")]
    if spoilt:
        raise problem(
            f"The tag {spoilt[0]} cannot be read. Write it as <lora:name:0.8>.",
            f"无法识别标签 {spoilt[0]}。请写成 <lora:名称:0.8>。",
        )


def unused_arguments(prompt: str) -> list[UserError]:
    """Warnings of what stands in a tag and changes nothing, such as a weight that is no number."""
    return [
        problem(
            f"“{text[:60]}” in the tag {tag[:100]} changes nothing: it is no weight and no setting that is known here. "
            "The tag counts as if it were not there; a weight is a plain number, as in <lora:name:0.8>.",
            f"标签 {tag[:100]} 中的“{text[:60]}”没有任何效果：它既不是权重，也不是此处已知的设置。"
            "该标签按没有它处理；权重应为普通数字，例如 <lora:名称:0.8>。",
        )
        for tag, text in unused(prompt)
    ]


def acts(row: Row) -> bool:
    """Whether it changes anything."""
    return row.on and bool(row.weight or row.text_weight)


def _file(shelf: Shelf, row: Row) -> File | None:
    """The file that a row names; None where only its hash may tell, for which the job reads every file."""
    try:
        return shelf.find(row.model_copy(update={"hash": ""}))
    except UserError:
        if not row.hash:
            raise
        return None


def _check_fit(shelf: Shelf, card: Card, family: str, model: str) -> None:
    """Of another family, and no key of it has its place in this model: a part may fit a relative, which the job knows."""
    modules = shelf.modules_of(family, model)
    words = misfit(card, family)
    if words and card.family and modules is not None and not card.reading(modules).targets:
        raise problem(*words)
