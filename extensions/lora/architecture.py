"""The weights that a Stable Diffusion U-Net and its text encoders have, by name, without loading any.

A `Layout` maps each part ("unet", "text_encoder", "text_encoder_2") to its modules, and each module to the shape of its
weight: (out, in) of a linear layer, (out, in, height, width) of a convolution, (channels,) of a norm. Names are those of
diffusers' `UNet2DConditionModel` and of transformers' `CLIPTextModel` (without `text_model`, which transformers 5 dropped).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]
Layout = Mapping[str, Mapping[str, Shape]]

UNET, TEXT, TEXT_2 = "unet", "text_encoder", "text_encoder_2"


@dataclass(frozen=True)
class TextEncoder:
    """A CLIP text encoder."""

    width: int
    inner: int
    layers: int


@dataclass(frozen=True)
class Architecture:
    """What decides the names and shapes of a model's weights."""

    family: str
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    layers: int = 2
    depths: tuple[int, ...] = (1, 1, 1, 0)
    """Transformer blocks per attention in each down block; 0 is a block without attention."""
    middle: int = 1
    width: int = 768
    """Of the prompt's vectors, `cross_attention_dim`."""
    linear: bool = False
    """Whether a transformer's projections are linear layers or 1 x 1 convolutions."""
    added: int = 0
    """Inputs of SDXL's second embedding; 0 where there is none."""
    inputs: int = 4
    texts: Mapping[str, TextEncoder] = field(default_factory=dict)

    @classmethod
    def of_configs(
        cls, family: str, unet: Mapping[str, Any], texts: Mapping[str, Mapping[str, Any]]
    ) -> "Architecture":
        """From the `config.json` of each part of a model in diffusers' layout.

        Raises:
            KeyError, TypeError, ValueError: these are no such configurations.
        """
        channels = tuple(int(count) for count in unet["block_out_channels"])
        depth = unet.get("transformer_layers_per_block", 1)
        per_block = [int(depth)] * len(channels) if isinstance(depth, int) else list(depth)
        kinds = unet["down_block_types"]
        return cls(
            family=family,
            channels=channels,
            layers=int(unet.get("layers_per_block", 2)),
            depths=tuple(
                count if "CrossAttn" in kind else 0
                for kind, count in zip(kinds, per_block, strict=True)
            ),
            middle=per_block[-1],
            width=int(unet["cross_attention_dim"]),
            linear=bool(unet.get("use_linear_projection")),
            added=int(unet.get("projection_class_embeddings_input_dim") or 0),
            inputs=int(unet.get("in_channels", 4)),
            texts={
                part: TextEncoder(
                    int(text["hidden_size"]),
                    int(text["intermediate_size"]),
                    int(text["num_hidden_layers"]),
                )
                for part, text in texts.items()
            },
        )

    def layout(self) -> Layout:
        """Every module that holds weights."""
        found: dict[str, dict[str, Shape]] = {UNET: dict(self._unet())}
        for part, text in self.texts.items():
            found[part] = dict(_text(text))
        return found

    def _unet(self) -> Iterator[tuple[str, Shape]]:
        first, last = self.channels[0], self.channels[-1]
        time = 4 * first
        yield "conv_in", (first, self.inputs, 3, 3)
        yield "time_embedding.linear_1", (time, first)
        yield "time_embedding.linear_2", (time, time)
        if self.added:
            yield "add_embedding.linear_1", (time, self.added)
            yield "add_embedding.linear_2", (time, time)
        skips = [first]
        before = first
        for number, (channels, depth) in enumerate(zip(self.channels, self.depths, strict=True)):
            block = f"down_blocks.{number}"
            for layer in range(self.layers):
                yield from _resnet(f"{block}.resnets.{layer}", before, channels, time)
                yield from self._attention(f"{block}.attentions.{layer}", channels, depth)
                before = channels
                skips.append(channels)
            if number < len(self.channels) - 1:
                yield f"{block}.downsamplers.0.conv", (channels, channels, 3, 3)
                skips.append(channels)
        yield from _resnet("mid_block.resnets.0", last, last, time)
        yield from self._attention("mid_block.attentions.0", last, self.middle)
        yield from _resnet("mid_block.resnets.1", last, last, time)
        upwards = list(zip(reversed(self.channels), reversed(self.depths), strict=True))
        for number, (channels, depth) in enumerate(upwards):
            block = f"up_blocks.{number}"
            for layer in range(self.layers + 1):
                yield from _resnet(f"{block}.resnets.{layer}", before + skips.pop(), channels, time)
                yield from self._attention(f"{block}.attentions.{layer}", channels, depth)
                before = channels
            if number < len(upwards) - 1:
                yield f"{block}.upsamplers.0.conv", (channels, channels, 3, 3)
        yield "conv_norm_out", (first,)
        yield "conv_out", (self.inputs if self.inputs in (4, 16) else 4, first, 3, 3)

    def _attention(self, name: str, channels: int, depth: int) -> Iterator[tuple[str, Shape]]:
        if not depth:
            return
        kernel = () if self.linear else (1, 1)
        yield f"{name}.norm", (channels,)
        yield f"{name}.proj_in", (channels, channels, *kernel)
        for number in range(depth):
            block = f"{name}.transformer_blocks.{number}"
            for attention, reads in (("attn1", channels), ("attn2", self.width)):
                yield f"{block}.{attention}.to_q", (channels, channels)
                yield f"{block}.{attention}.to_k", (channels, reads)
                yield f"{block}.{attention}.to_v", (channels, reads)
                yield f"{block}.{attention}.to_out.0", (channels, channels)
            for norm in ("norm1", "norm2", "norm3"):
                yield f"{block}.{norm}", (channels,)
            yield f"{block}.ff.net.0.proj", (8 * channels, channels)
            yield f"{block}.ff.net.2", (channels, 4 * channels)
        yield f"{name}.proj_out", (channels, channels, *kernel)


def _resnet(name: str, reads: int, writes: int, time: int) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.norm1", (reads,)
    yield f"{name}.conv1", (writes, reads, 3, 3)
    yield f"{name}.time_emb_proj", (writes, time)
    yield f"{name}.norm2", (writes,)
    yield f"{name}.conv2", (writes, writes, 3, 3)
    if reads != writes:
        yield f"{name}.conv_shortcut", (writes, reads, 1, 1)


def _text(text: TextEncoder) -> Iterator[tuple[str, Shape]]:
    for number in range(text.layers):
        layer = f"encoder.layers.{number}"
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{layer}.self_attn.{projection}", (text.width, text.width)
        yield f"{layer}.layer_norm1", (text.width,)
        yield f"{layer}.mlp.fc1", (text.inner, text.width)
        yield f"{layer}.mlp.fc2", (text.width, text.inner)
        yield f"{layer}.layer_norm2", (text.width,)
    yield "final_layer_norm", (text.width,)


_CLIP_L = TextEncoder(768, 3072, 12)
KNOWN: Mapping[str, Architecture] = {
    "sd1": Architecture("sd1", texts={TEXT: _CLIP_L}),
    "sd2": Architecture("sd2", width=1024, linear=True, texts={TEXT: TextEncoder(1024, 4096, 23)}),
    "sdxl": Architecture(
        "sdxl",
        channels=(320, 640, 1280),
        depths=(0, 2, 10),
        middle=10,
        width=2048,
        linear=True,
        added=2816,
        texts={TEXT: _CLIP_L, TEXT_2: TextEncoder(1280, 5120, 32)},
    ),
}
"""The families that LoRA files are made for, as their authors published them."""

FAMILY_TITLES: Mapping[str, str] = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "Stable Diffusion XL",
}
