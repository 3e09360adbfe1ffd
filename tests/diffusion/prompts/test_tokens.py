"""Cutting prompts into chunks. The tiny tokenizer has one token per letter, so lengths can be counted by eye."""

from modules.diffusion.prompts.parse import parse
from modules.diffusion.prompts.tokens import chunks, comma_id, count


def words(parts, text):
    """The chunks of a text, as text, without start, end and padding."""
    tokenizer = parts.tokenizer
    skip = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    found = []
    for chunk in chunks(tokenizer, parse(text)):
        assert len(chunk.ids) == len(chunk.weights) == 77
        assert chunk.ids[0] == tokenizer.bos_token_id
        assert chunk.ids[-1] == tokenizer.eos_token_id
        ids = [token for token in chunk.ids if token not in skip]
        found.append("".join(tokenizer.convert_ids_to_tokens(ids)).replace("</w>", " ").strip())
    return found


def test_an_empty_prompt_is_one_chunk_of_padding(parts):
    (chunk,) = chunks(parts.tokenizer, parse(""))
    assert set(chunk.ids[1:]) == {parts.tokenizer.eos_token_id}
    assert set(chunk.weights) == {1.0}


def test_a_chunk_equals_what_the_tokenizer_itself_makes(parts):
    (chunk,) = chunks(parts.tokenizer, parse("a red cat, sitting"))
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
    (chunk,) = chunks(parts.tokenizer, parse("a (b:1.5) c"))
    assert chunk.weights[:5] == (1.0, 1.0, 1.5, 1.0, 1.0)


def test_the_counter_counts_whole_chunks(parts):
    assert (count(parts.tokenizer, "").used, count(parts.tokenizer, "").room) == (0, 75)
    assert (count(parts.tokenizer, "abc").used, count(parts.tokenizer, "abc").room) == (3, 75)
    found = count(parts.tokenizer, "a BREAK bc")
    assert (found.used, found.room) == (77, 150)


def test_any_text_has_tokens(parts):
    assert chunks(parts.tokenizer, parse("一只猫 🐈 \u202e\x07 ﷽"))


def test_the_comma_is_known(parts):
    assert parts.tokenizer.convert_ids_to_tokens(comma_id(parts.tokenizer)) == ",</w>"
