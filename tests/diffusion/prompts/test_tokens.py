"""Cutting prompts into chunks. The tiny tokenizer has one token per letter, so lengths can be counted by eye."""

from hypothesis import given
from hypothesis import strategies as st

from modules.diffusion.prompts.embeddings import Names
from modules.diffusion.prompts.parse import Segment, parse
from modules.diffusion.prompts.plan import plan
from modules.diffusion.prompts.schedule import Pass
from modules.diffusion.prompts.tokens import TokenCount, Vocabulary, chunks
from modules.diffusion.prompts.tokens import count as count_of


def words(parts, text):
    """The chunks of a text, as text, without start, end and padding."""
    tokenizer = parts.tokenizer
    skip = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    found = []
    for chunk in chunks(Vocabulary.of(tokenizer), parse(text)):
        assert len(chunk.ids) == len(chunk.weights) == 77
        assert chunk.ids[0] == tokenizer.bos_token_id
        assert chunk.ids[-1] == tokenizer.eos_token_id
        ids = [token for token in chunk.ids if token not in skip]
        found.append("".join(tokenizer.convert_ids_to_tokens(ids)).replace("</w>", " ").strip())
    return found


def test_an_empty_prompt_is_one_chunk_of_padding(parts):
    (chunk,) = chunks(Vocabulary.of(parts.tokenizer), parse(""))
    assert set(chunk.ids[1:]) == {parts.tokenizer.eos_token_id}
    assert set(chunk.weights) == {1.0}


def test_a_chunk_equals_what_the_tokenizer_itself_makes(parts):
    (chunk,) = chunks(Vocabulary.of(parts.tokenizer), parse("a red cat, sitting"))
    whole = parts.tokenizer("a red cat, sitting", padding="max_length", max_length=77).input_ids
    assert list(chunk.ids) == whole


def test_75_tokens_fit_and_the_next_begins_a_chunk(parts):
    assert words(parts, "x" * 75) == ["x" * 75]
    assert words(parts, "x" * 75 + "y") == ["x" * 75, "y"]
    assert [len(word) for word in words(parts, "x" * 1000)] == [75] * 13 + [25]


def test_text_after_a_near_comma_moves_on_whole(parts):
    assert words(parts, "x" * 60 + ", " + "y" * 20) == ["x" * 60 + " ,", "y" * 20]


def test_a_comma_further_back_than_twenty_does_not_count(parts):
    assert words(parts, "x" * 54 + ", " + "y" * 30) == ["x" * 54 + " , " + "y" * 20, "y" * 10]
    assert words(parts, "x" * 55 + ", " + "y" * 30) == ["x" * 55 + " ,", "y" * 30]


def test_a_comma_that_no_longer_fits_begins_the_next_chunk(parts):
    assert words(parts, "x" * 60 + ", " + "y" * 14 + ", z")[1].startswith(",")


def test_break_pads_the_rest_of_a_chunk(parts):
    assert words(parts, "a BREAK b BREAK BREAK c") == ["a", "b", "", "c"]


def test_each_token_has_the_weight_of_its_segment(parts):
    (chunk,) = chunks(Vocabulary.of(parts.tokenizer), parse("a (b:1.5) c"))
    assert chunk.weights[:5] == (1.0, 1.0, 1.5, 1.0, 1.0)


def count(parts, text, steps=4, **options):
    found = count_of(Vocabulary.of(parts.tokenizer), text, Pass(steps), **options)
    return found.used, found.room


def test_the_counter_counts_whole_chunks(parts):
    assert count(parts, "") == (0, 75)
    assert count(parts, "abc") == (3, 75)
    assert count(parts, "a BREAK bc") == (77, 150)
    assert count(parts, "a" * 150) == (150, 150)


def test_the_counter_takes_the_longest_of_steps_and_parts(parts):
    assert count(parts, "[a:bcd:2] e") == (4, 75)
    assert count(parts, "[a|bc|def]") == (3, 75)
    assert count(parts, "a AND bcd:0.5") == (3, 75)
    assert count(parts, "[ab:c:2]", steps=1) == (2, 75)


def test_the_counter_leaves_out_what_the_encoder_does_not_read(parts):
    assert count(parts, "ab (c:1.5) <lora:x:1> # more") == (3, 75)
    assert count(parts, "a AND b", negative=True) == (5, 75)
    assert count(parts, "(a:1.5)", emphasis="none") == (7, 75)
    assert count(parts, "a bad b", embeddings={"bad": 8}) == (10, 75)


@given(st.text(alphabet="ab, ()[]:|1.5\n", max_size=250))
def test_the_counter_agrees_with_what_is_encoded(loaded, text):
    vocabulary = Vocabulary.of(loaded.tokenizer)
    most = 0
    for step in plan(text, Pass(3)):
        for part in step:
            cut = chunks(vocabulary, parse(part.text))
            last = cut[-1].ids[1:].index(vocabulary.end)
            most = max(most, (len(cut) - 1) * 75 + last)
    assert count_of(vocabulary, text, Pass(3)).used == most


def test_both_kinds_of_tokenizer_count_alike(parts):
    backend = Vocabulary.of_backend(parts.tokenizer.backend_tokenizer)
    known = Vocabulary.of(parts.tokenizer)
    assert (backend.start, backend.end, backend.comma) == (known.start, known.end, known.comma)
    for text in ("a red cat, sitting", "一只猫 🐈", "x" * 200):
        assert list(backend.ids(text)) == list(known.ids(text))
    assert count_of(backend, "a, " * 90, Pass(4)) == TokenCount(*count(parts, "a, " * 90))


def cut(parts, text, vectors):
    """The chunks of a text as letters, where a digit stands for a row of an embedding."""
    vocabulary = Vocabulary.of(parts.tokenizer)
    found = []
    for chunk in chunks(vocabulary, parse(text), names=Names(vocabulary.ids, vectors)):
        signs = parts.tokenizer.convert_ids_to_tokens(list(chunk.ids))
        for hole in chunk.holes:
            signs[hole.position] = str(hole.row % 10)
        assert len(signs) == 77
        found.append("".join(s.replace("</w>", "") for s in signs if not s.startswith("<|")))
    return found


def test_an_embedding_takes_as_many_tokens_as_it_has_vectors(parts):
    assert cut(parts, "a bad b", {"bad": 4}) == ["a0123b"]
    assert cut(parts, "a BAD, bad", {"bad": 2}) == ["a01,01"]
    assert cut(parts, "badly bad", {"bad": 2}) == ["badly01"]


def test_the_longest_name_is_meant(parts):
    vectors = {"bad": 1, "bad-hand": 3, "bad-hand-5": 2}
    assert cut(parts, "bad-hand-5 bad-hand bad", vectors) == ["010120"]
    assert cut(parts, "bad hand", vectors) == ["0hand"]


def test_an_embedding_is_not_split_over_two_chunks(parts):
    assert cut(parts, "x" * 70 + " bad y", {"bad": 8}) == ["x" * 70, "01234567y"]
    assert cut(parts, "x" * 67 + " bad y", {"bad": 8}) == ["x" * 67 + "01234567", "y"]
    assert cut(parts, "x" * 50 + " , " + "y" * 15 + " bad", {"bad": 10}) == [
        "x" * 50 + "," + "y" * 15,
        "0123456789",
    ]


def test_an_embedding_moves_with_the_text_after_a_comma(parts):
    text = "x" * 60 + " , bad " + "y" * 10 + " z"
    assert cut(parts, text, {"bad": 4}) == ["x" * 60 + ",", "0123" + "y" * 10 + "z"]


def test_an_embedding_that_no_chunk_can_hold_is_read_all_the_same(parts):
    rows = "".join(str(row % 10) for row in range(80))
    assert cut(parts, "a bad b", {"bad": 80}) == ["a", rows[:75], rows[75:] + "b"]


def test_an_embedding_has_the_weight_of_its_segment(parts):
    vocabulary = Vocabulary.of(parts.tokenizer)
    names = Names(vocabulary.ids, {"bad": 3})
    (chunk,) = chunks(vocabulary, [Segment("bad", 0.5)], names=names)
    assert chunk.weights[:5] == (1.0, 0.5, 0.5, 0.5, 1.0)
    assert [(hole.position, hole.name, hole.row) for hole in chunk.holes] == [
        (1, "bad", 0),
        (2, "bad", 1),
        (3, "bad", 2),
    ]


def test_any_text_has_tokens(parts):
    assert chunks(Vocabulary.of(parts.tokenizer), parse("一只猫 🐈 \u202e\x07 ﷽"))


def test_the_comma_is_known(parts):
    comma = Vocabulary.of(parts.tokenizer).comma
    assert parts.tokenizer.convert_ids_to_tokens(comma) == ",</w>"
