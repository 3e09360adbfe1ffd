"""The samplers themselves: generators of one signature that ask for a clean picture and say when a step is done.

    solver(x, sigmas, options, draw) -> Iterator of `Ask` and `Stepped`

`x` is clean + sigmas[0] * noise. For `Ask` a solver receives the clean latents that the model sees in them, for
`Stepped` the latents to go on with. They know no model, no batch, no torch: what they compute with may be
tensors or plain numbers (which is how `timeline` counts their calls). A solver holds its own history, so it is
used once.
"""
