"""The counter beside a prompt agrees with the encoder, and needs no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from modules.diffusion.prompts.tokens import Vocabulary
from modules.errors import ModelFileError
from modules.library.counting import clip, tokenizer_of
from modules.schema import ModelCard
from modules.services.tokens import TokenCounter

PROJECT = Path(__file__).resolve().parents[2]
POCKET = PROJECT / "models" / "checkpoints" / "pocket"
EMBEDDINGS = {"sad apple": 7}
SAMPLES = ("a photo of a cat", "Don't   SHOUT, 3d-render №5!", "猫 и кошка", "")


def card(path: Path) -> ModelCard:
    return ModelCard(name="m", title="M", family="sd1", path=path, size_bytes=0)


@pytest.mark.parametrize(
    ("text", "used", "room"),
    [
        ("", 0, 75),
        ("a red apple", 3, 75),
        ("a (red:1.3) apple", 3, 75),
        ("a [red:blue red:0.5] apple", 4, 75),  # the longer of the two
        ("apple BREAK apple", 76, 150),
        ("a red Sad Apple", 2 + 7, 75),  # a textual inversion takes the place of its name
        ("sad apple " * 11, 75 + 7, 150),  # and is not cut in two
    ],
)
def test_what_counts(text: str, used: int, room: int):
    found = TokenCounter(lambda name: card(POCKET), lambda card: EMBEDDINGS).count(text, None)
    assert (found.used, found.room) == (used, room)


def test_clips_own_words_are_as_published():
    assert clip().encode("a photo of a cat", add_special_tokens=False).ids == [
        320, 1125, 539, 320, 2368,
    ]  # fmt: skip


def test_it_cuts_as_the_tokenizer_that_generates():
    from modules.library.vocabulary import clip_tokenizer

    slow, quick = Vocabulary.of(clip_tokenizer({})), Vocabulary.of_backend(clip())
    for text in SAMPLES:
        assert list(quick.ids(text)) == list(slow.ids(text)), text


def test_a_damaged_tokenizer_is_named(tmp_path: Path):
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"tokenizer\.json"):
        tokenizer_of(card(tmp_path))


def test_counting_brings_no_torch():
    code = (
        "import sys; from pathlib import Path; from modules.services.tokens import TokenCounter; "
        "from modules.schema import ModelCard; "
        f"c = ModelCard(name='m', title='M', family='sd1', path=Path({str(POCKET)!r}), size_bytes=0); "
        "n = TokenCounter(lambda _: c, lambda _: {}).count('a red apple', None).used; "
        "print(n, sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "3 []", done.stderr[-1000:]
