"""A model's CLIP tokenizer without torch: enough for counting tokens beside a prompt."""

from functools import lru_cache
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from modules.errors import ModelFileError
from modules.library.vocabulary import END, clip_words
from modules.schema import ModelCard

_PIECES = r"""<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def tokenizer_of(card: ModelCard) -> Tokenizer:
    """The tokenizer in the model's folder, or CLIP's own where the model brings none.

    Raises:
        ModelFileError: the model's tokenizer cannot be read.
        UserError: the package that ships CLIP's vocabulary is not installed.
    """
    for name in ("tokenizer", "tokenizer_2"):
        file = card.path / name / "tokenizer.json"
        if file.is_file():
            return _of_file(file, file.stat().st_mtime_ns)
    return clip()


@lru_cache(maxsize=4)
def _of_file(file: Path, _changed: int) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the package raises nothing more exact
        raise ModelFileError("error.model.tokenizer", file=file, why=str(error)) from error


@lru_cache(maxsize=1)
def clip() -> Tokenizer:
    """CLIP's own (Radford et al., arXiv 2103.00020): lower case, its pieces, byte-level BPE."""
    vocabulary, merges = clip_words()
    made = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=list(merges),
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
            unk_token=END,
        )
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return made
