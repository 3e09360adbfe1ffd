"""Prompts: from what people write to what the denoiser reads at each step. No file here but `emphasis`, `encode`
and `condition` needs torch.

In the order in which a prompt goes through them:

    styles       the text of chosen styles around the prompt
    comments     `# …` to the end of a line is taken out
    networks     `<lora:name:0.8>` is taken out and handed to whoever knows the kind
    composition  `a AND b:0.5` to sub-prompts with weights
    schedule     `[a:b:0.5]` and `[a|b]` to a text per step
    plan         the four before, in one: the sub-prompts of each step
    parse        `(a:1.2)`, `[a]`, BREAK to segments with weights
    tokens       segments to chunks of 75 tokens; the counter
    embeddings   names of textual inversions among the tokens
    encode       chunks through one or more text encoders
    emphasis     what a weight does to a token's vector
    cache        texts that were encoded before
    condition    all of it: what a model family calls
"""
