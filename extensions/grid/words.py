"""What the panel says, in both languages."""

from collections.abc import Mapping

KINDS: Mapping[str, tuple[str, str]] = {
    "axes": ("X/Y/Z", "X/Y/Z"),
    "matrix": ("Prompt matrix", "提示词矩阵"),
    "prompts": ("List of prompts", "提示词列表"),
}
MATRIX: Mapping[str, tuple[str, str]] = {
    "prompt": ("Prompt", "提示词"),
    "negative_prompt": ("Negative prompt", "反向提示词"),
}
SEEDS: Mapping[str, tuple[str, str]] = {
    "same": ("The same for all", "全部相同"),
    "next": ("One more for each", "逐格加一"),
}
WORDS: Mapping[str, tuple[str, str]] = {
    "nothing": ("Nothing", "无"),
    "values": (
        "`4, 8, 12` · `1-5` · `1-9 (+2)` · `0-1 [5]` · `1, 2, .., 10` · `SKIP:` before a value leaves it out. "
        "Prompt S/R: the first value is the text that the others take the place of.",
        "`4, 8, 12` · `1-5` · `1-9 (+2)` · `0-1 [5]` · `1, 2, .., 10` · 值前写 `SKIP:` 则略过。"
        "提示词搜索替换：第一个值是被替换的文字，其余逐一替换它。",
    ),
    "matrix": (
        "The prompt `a house | at night | in snow` makes four pictures: with each choice of what stands after the first |.",
        "提示词 `a house | at night | in snow` 生成四张图：第一个 | 之后的各部分逐一组合。",
    ),
}
