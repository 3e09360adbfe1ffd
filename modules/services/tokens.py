"""The counter beside a prompt: how many tokens the chosen model's text encoder will see. Without torch."""

from collections.abc import Callable, Mapping

from modules.diffusion.prompts.schedule import Pass
from modules.diffusion.prompts.tokens import TokenCount, Vocabulary, count
from modules.schema import ModelCard

_STEPS = 20
"""Of the texts that a scheduled prompt has in so many steps, the longest counts."""


class TokenCounter:
    """Counts for any model that is here.

    Args:
        embeddings: names of a model's textual inversions, with the tokens that each takes.
    """

    def __init__(
        self,
        find_model: Callable[[str | None], ModelCard],
        embeddings: Callable[[ModelCard], Mapping[str, int]],
    ) -> None:
        self._find_model = find_model
        self._embeddings = embeddings

    def count(self, text: str, model: str | None, *, negative: bool = False) -> TokenCount:
        """Tokens of a prompt as people write it, by the tokenizer of `model` (None: the default one).

        Raises:
            UserError: no such model, or its tokenizer cannot be read.
        """
        # On the first prompt, not before the page answers.
        from modules.library.counting import tokenizer_of

        card = self._find_model(model)
        vocabulary = Vocabulary.of_backend(tokenizer_of(card))
        return count(
            vocabulary, text, Pass(_STEPS), negative=negative, embeddings=self._embeddings(card)
        )
