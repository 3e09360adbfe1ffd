"""A picture carries what made it: a PNG holds the request as exact JSON and as the text everybody reads.

`parameters` (tEXt, or iTXt where Latin-1 does not do) is A1111's text; `noisette` (iTXt) is JSON:
`{"version": 1, "request": {…}, "index": 0, "job": "1f0c…", "model_hash": "…", …}`. What `encode` wrote, `decode`
gives back equal, whatever the prompt holds.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydantic import JsonValue, ValidationError

from modules.errors import LimitError
from modules.imaging import infotext as grammar
from modules.imaging.infotext import PictureFacts
from modules.imaging.pictures import open_picture
from modules.schema import GenerationRequest
from modules.schema.received import broken_text

TEXT_KEY = "parameters"
JSON_KEY = "noisette"
FORMAT = 1
MAX_JSON = 2_000_000
_EXIF_IFD = 0x8769
_USER_COMMENT = 0x9286


@dataclass(frozen=True)
class Decoded:
    """What a picture says of itself; `request` is exact when `exact`, else read from the text.

    `postprocess` is the request of a picture that was made from another by extensions' steps alone; `request` is then what
    the text, which came from that other one, says.
    `data` is our JSON beside the request (index, job, model_hash …), empty for pictures of other programs.
    `unused` lists the parameters of the text that no field takes.
    """

    request: GenerationRequest | None = None
    infotext: str | None = None
    data: Mapping[str, JsonValue] = field(default_factory=dict)
    exact: bool = False
    unused: tuple[str, ...] = ()
    postprocess: GenerationRequest | None = None


def infotext(request: GenerationRequest, *, index: int, facts: PictureFacts) -> str:
    """A1111's text for picture `index` (0-based) of a resolved request."""
    return grammar.write(request, index=index, facts=facts)


def request_json(request: GenerationRequest) -> str:
    """The request as it will stand in the picture.

    Raises:
        LimitError: it is too large for a picture to carry.
    """
    text = request.model_dump_json()
    if len(text) > MAX_JSON:
        raise LimitError("error.limit.request", found=len(text), most=MAX_JSON)
    return text


def encode(
    image: Image.Image,
    request: GenerationRequest,
    text: str,
    *,
    job: str,
    index: int,
    **facts: JsonValue,
) -> bytes:
    """PNG bytes of a picture with its metadata; `facts` are kept in the JSON beside the request.

    Raises:
        LimitError: the request is too large for a picture to carry.
    """
    data = {"version": FORMAT, "job": job, "index": index, **facts}
    body = json.dumps(data, ensure_ascii=True)[:-1] + f', "request": {request_json(request)}}}'
    info = PngInfo()
    info.add_text(TEXT_KEY, text)
    info.add_itxt(JSON_KEY, body)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def decode(
    source: Path | str | IO[bytes] | Image.Image, extensions: grammar.Reader | None = None
) -> Decoded:
    """Read what a picture says of itself; a picture without a word gives an empty answer.

    Where only the text tells, `extensions` is offered its parameters that are no field.

    Raises:
        UserError: the picture cannot be read.
    """
    if isinstance(source, Image.Image):
        return _decode(source, extensions)
    with open_picture(source) as image:
        return _decode(image, extensions)


def _decode(image: Image.Image, extensions: grammar.Reader | None) -> Decoded:
    text = _text(image)
    data = _json(image)
    body = data.pop("request", None)
    postprocess = None
    if isinstance(body, dict):
        try:
            request = GenerationRequest.model_validate(body)
        except ValidationError:
            pass  # from a newer or a foreign program: the text still tells most of it
        else:
            if request.postprocess is None:
                return Decoded(request, text, data, exact=True)
            postprocess = request
    if not text:
        return Decoded(data=data, postprocess=postprocess)
    request, unused = grammar.to_request(text, extensions)
    return Decoded(request, text, data, unused=unused, postprocess=postprocess)


def _json(image: Image.Image) -> dict[str, JsonValue]:
    text = image.info.get(JSON_KEY)
    if not isinstance(text, str) or len(text) > 2 * MAX_JSON:
        return {}
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    # Half a character could be neither kept nor sent to the page: such data is none.
    return data if isinstance(data, dict) and broken_text(data) is None else {}


def _text(image: Image.Image) -> str | None:
    text = image.info.get(TEXT_KEY)
    if not isinstance(text, str):
        text = _user_comment(image)
    return text[: grammar.MAX_CHARACTERS] if text else None


def _user_comment(image: Image.Image) -> str | None:
    """The text of a JPEG or WebP picture: EXIF UserComment, an 8-byte name of the encoding before it."""
    try:
        raw = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT)
    except (ValueError, KeyError, OSError, SyntaxError, TypeError):
        return None  # a broken EXIF block is a picture without text
    if isinstance(raw, str):
        return raw
    if not isinstance(raw, bytes):
        return None
    kind, body = raw[:8], raw[8:]
    if kind == b"UNICODE\x00":
        # Writers disagree on the byte order; in mostly Latin text the zero bytes tell.
        order = "utf-16-be" if body[::2].count(0) >= body[1::2].count(0) else "utf-16-le"
        return body.decode(order, "replace").strip("\x00")
    if kind == b"ASCII\x00\x00\x00":
        return body.decode("utf-8", "replace").strip("\x00")
    return raw.decode("utf-8", "replace").strip("\x00")
