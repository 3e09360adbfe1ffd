"""All that comes before the tokens, together and in its order."""

from modules.diffusion.prompts.composition import Part
from modules.diffusion.prompts.plan import plan, plan_negative
from modules.diffusion.prompts.schedule import Pass


def texts(prompt, steps=4, **of_pass):
    return [
        [(part.text, part.weight) for part in parts]
        for parts in plan(prompt, Pass(steps, **of_pass))
    ]


def test_a_plain_prompt_holds_for_all_steps():
    assert plan("a cat", Pass(20)) == ((Part("a cat"),),)
    assert plan_negative("a cat", Pass(20)) == ("a cat",)


def test_each_step_has_its_text():
    assert texts("[a:b:2]") == [[("a", 1)], [("a", 1)], [("b", 1)]]
    assert texts("[a|b]") == [[("a", 1)], [("b", 1)], [("a", 1)], [("b", 1)]]


def test_sub_prompts_change_each_by_themselves():
    assert texts("[a:b:1]:2 AND [c:d:2]") == [
        [("a", 2), ("c", 1)],
        [("b", 2), ("c", 1)],
        [("b", 2), ("d", 1)],
    ]


def test_comments_and_tags_go_first():
    assert texts("a # [b:c:2] AND d\n<lora:x:[1:2:3]>e") == [[("a \ne", 1)]]
    assert texts(r"a \# 1 AND \<b:1>") == [[("a # 1", 1), (r"\<b:1>", 1)]]


def test_a_negative_prompt_has_no_sub_prompts_and_no_tags():
    assert plan_negative("a AND b:2 <lora:x> # c", Pass(4)) == ("a AND b:2 <lora:x> ",)
    assert plan_negative("[a:b:2]", Pass(4)) == ("a", "a", "b")


def test_the_second_pass_goes_on():
    assert texts("[a:b:1.5] [c:d:6]", 4, first_pass_steps=4) == [
        [("a c", 1)],
        [("a c", 1)],
        [("b d", 1)],
    ]
