"""img2img over many pictures: one job for each, uploaded ones or those of a folder on this machine.

A picture's mask is the one of the same file name without its ending; a single mask serves all. What cannot be read,
or has no mask where masks are given, is left out and named in the answer.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from modules.errors import LimitError, UserError, reason
from modules.schema.options import InputId
from modules.services.access import on_this_machine
from modules.texts import LANGUAGES
from modules.ui.bind import field_name, to_request
from modules.ui.bridge import answer, refusal
from modules.ui.handlers import Handlers
from modules.ui.source import WAYS
from modules.ui.visitor import Visitors

if TYPE_CHECKING:
    from modules.services.handed_in import OwnInputs

ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MOST = 500
MOST_SCALE = 4
_MAX_BYTES = 64 * 2**20
_FIELDS = ("images", "masks", "folder", "mask_folder")


class Named(BaseModel):
    """One picture of a batch: its file's name, and its number in the inputs folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    id: InputId

    @property
    def stem(self) -> str:
        """What a picture and its mask have in common."""
        return Path(self.name).stem.casefold()


_NAMED = TypeAdapter(tuple[Named, ...])


@dataclass(frozen=True)
class Skipped:
    """A picture that was left out, and why."""

    name: str
    why: UserError

    def told(self) -> dict[str, Any]:
        """For the page, in every language."""
        return {"name": self.name, "why": {each: self.why.message(each) for each in LANGUAGES}}


class BatchHandlers(Handlers):
    """The img2img tab: `submit` knows the mode "batch" too."""

    def submit(self, request: gr.Request, **values: Any) -> dict[str, Any]:
        """Queue one job, or in the mode "batch" one for each picture."""
        given = {name: values.pop(field_name("batch", name), "") or "" for name in _FIELDS}
        by = values.pop(field_name("resize", "scale"), None)
        by = by if values.pop(field_name("resize", "way"), WAYS[0]) == WAYS[1] else None
        try:
            if values.get("img2img__mode") != "batch":
                return super().submit(request, **{**values, **self._resized(request, values, by)})
            return self._submit_all(request, values, given, by)
        except UserError as error:
            return refusal(error)

    def _submit_all(
        self,
        request: gr.Request,
        values: Mapping[str, Any],
        given: Mapping[str, str],
        by: float | None,
    ) -> dict[str, Any]:
        here, visitor = on_this_machine(request), Visitors.client(request)
        inputs = self._studio.inputs.of(visitor)
        skipped: list[Skipped] = []
        images = list(_collected(inputs, given["images"], given["folder"], here, skipped))
        masks = list(_collected(inputs, given["masks"], given["mask_folder"], here, skipped))
        if not images:
            raise UserError("error.batch.empty", skipped=len(skipped))
        whole = []
        for image, mask in _paired(images, masks, skipped):
            one = {**values, "img2img__image": image.id, "img2img__mode": "img2img"}
            if mask is not None:
                one |= {"inpaint__mask": mask.id, "img2img__mode": "inpaint"}
            one |= self._resized(request, one, by)
            whole.append(to_request(one))
        if not whole:
            raise UserError("error.batch.masks", found=len(images), masks=len(masks))
        # All or none: what a guest has no share for is said before anything is queued.
        jobs = [job.id for job in self._studio.submit_all(whole, visitor)]
        told = [each.told() for each in skipped[:20]]
        return answer("submitted", job=jobs[0], count=len(jobs), skipped=told, left=len(skipped))

    def _resized(
        self, request: gr.Request, values: Mapping[str, Any], by: float | None
    ) -> dict[str, int]:
        """Width and height of the picture that `values` name times `by`; nothing where that is None."""
        image = values.get("img2img__image")
        if by is None or not image:
            return {}
        if not isinstance(by, int | float) or not 0 < by <= MOST_SCALE:
            raise UserError("error.field", field="resize.scale", found=by, why=f"0–{MOST_SCALE}")
        width, height = self._studio.inputs.of(Visitors.client(request)).size(str(image))
        return {"width": max(1, int(width * by)), "height": max(1, int(height * by))}


def _collected(
    inputs: "OwnInputs", uploaded: str, folder: str, here: bool, skipped: list[Skipped]
) -> Iterator[Named]:
    """Uploaded pictures and those of a folder.

    Raises:
        UserError: the list cannot be read, the folder is none, or the asker is not at this machine.
        LimitError: more than `MOST` pictures.
    """
    yield from _uploaded(uploaded)
    if not folder.strip():
        return
    if not here:
        raise UserError("error.batch.remote")
    files = _files(Path(folder.strip()).expanduser())
    if len(files) > MOST:
        raise LimitError("error.batch.many", found=len(files), most=MOST)
    for file in files:
        try:
            if file.stat().st_size > _MAX_BYTES:
                raise LimitError("error.api.too_large", most=_MAX_BYTES // 2**20)
            number = inputs.add(file.read_bytes())
        except UserError as error:
            skipped.append(Skipped(file.name, error))
        except OSError as error:
            why = UserError("error.picture.read", name=file.name, why=reason(error))
            skipped.append(Skipped(file.name, why))
        else:
            yield Named(name=file.name, id=number)


def _uploaded(text: str) -> Sequence[Named]:
    if not text:
        return ()
    try:
        found = _NAMED.validate_python(json.loads(text))
    except (ValueError, ValidationError, RecursionError) as error:
        raise UserError("error.batch.list", found=text[:80]) from error
    if len(found) > MOST:
        raise LimitError("error.batch.many", found=len(found), most=MOST)
    return found


def _files(folder: Path) -> list[Path]:
    """The pictures in a folder, by name; its sub-folders are not looked into."""
    try:
        found = [each for each in folder.iterdir() if each.suffix.lower() in ENDINGS]
        return sorted((each for each in found if each.is_file()), key=lambda file: file.name)
    except OSError as error:
        raise UserError("error.batch.folder", path=folder, why=reason(error)) from error


def _paired(
    images: Sequence[Named], masks: Sequence[Named], skipped: list[Skipped]
) -> Iterator[tuple[Named, Named | None]]:
    by_stem = {mask.stem: mask for mask in masks}
    for image in images:
        if not masks:
            yield image, None
        elif len(masks) == 1:
            yield image, masks[0]
        elif image.stem in by_stem:
            yield image, by_stem[image.stem]
        else:
            skipped.append(Skipped(image.name, UserError("error.batch.no_mask", name=image.name)))
