"""The settings of the family that mean something here, by their names there; what each does to a request.

They come from three places, the last wins: the defaults below, `/sdapi/v1/options`, and `override_settings` of one
request, which changes that request and nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from modules.errors import UnknownNameError, UserError

MODEL, VAE, HASH = "sd_model_checkpoint", "sd_vae", "sd_checkpoint_hash"
FORMAT = "samples_format"
_SAME = ("", "none", "automatic")
_EMPHASIS = {"original": "original", "no norm": "no_norm", "ignore": "ignore", "none": "none"}
_RNG = {"cpu": "cpu", "gpu": "nv", "nv": "nv"}
_FORMATS = {"png": ".png", "jpg": ".jpg", "jpeg": ".jpg", "webp": ".webp"}


@dataclass
class Draft:
    """What options make of a request: fields by name, groups as mappings in it."""

    fields: dict[str, Any] = field(default_factory=dict)
    sampler_options: dict[str, Any] = field(default_factory=dict)
    img2img: dict[str, Any] = field(default_factory=dict)
    suffix: str = ".png"
    no_detected_maps: bool = False
    restore_faces: bool = False
    face_model: str = ""
    eta_ancestral: float = 1.0
    eta_ddim: float = 0.0


Apply = Callable[[Draft, Any], None]


@dataclass(frozen=True)
class Option:
    """One setting; `default` says its type as well."""

    name: str
    default: JsonValue
    apply: Apply

    def read(self, value: JsonValue) -> JsonValue:
        """The value in the setting's type.

        Raises:
            UserError: it is of another.
        """
        kind = type(self.default)
        if isinstance(value, bool) and kind in (int, float):
            raise self.wrong(value)  # pydantic would take it for 1
        config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)
        try:
            found: JsonValue = TypeAdapter(kind, config=config).validate_python(value)
        except ValidationError as error:
            raise self.wrong(value) from error
        if isinstance(found, str) and len(found) > 1000:
            raise self.wrong(value)
        return found

    def wrong(self, value: object) -> UserError:
        """What to raise where the value cannot be."""
        kind = type(self.default).__name__
        return UserError(
            "error.v1.option.value", option=self.name, found=repr(value)[:80], wanted=kind
        )


@dataclass(frozen=True)
class Into:
    """Puts a value into the field `name` of a part of the draft; `off` is the value that changes nothing."""

    part: str
    name: str
    off: object = None

    def __call__(self, draft: Draft, value: Any) -> None:
        if value != self.off:
            getattr(draft, self.part)[self.name] = value


@dataclass(frozen=True)
class Directly:
    """Sets an attribute of the draft."""

    name: str

    def __call__(self, draft: Draft, value: Any) -> None:
        setattr(draft, self.name, value)


@dataclass(frozen=True)
class Spelled:
    """Puts what a spelling means into a field of the request, or into the attribute `suffix`."""

    option: str
    known: Mapping[str, str]
    field: str

    def __call__(self, draft: Draft, value: Any) -> None:
        found = self.known.get(str(value).strip().casefold())
        if found is None:
            raise UserError(
                "error.v1.option.choice",
                option=self.option,
                found=str(value)[:80],
                known=", ".join(self.known),
            )
        if self.field == "suffix":
            draft.suffix = found
        else:
            draft.fields[self.field] = found


def _vae(draft: Draft, value: str) -> None:
    draft.fields["vae"] = None if value.strip().casefold() in _SAME else value.strip()


def _model(draft: Draft, value: str) -> None:
    draft.fields["model"] = value.strip() or None


def _tiling(draft: Draft, value: bool) -> None:
    draft.fields["tiling"] = "both" if value else "off"


_ROWS: tuple[Option, ...] = (
    Option(MODEL, "", _model),
    Option(VAE, "Automatic", _vae),
    Option("CLIP_stop_at_last_layers", 1, Into("fields", "clip_skip")),
    Option("eta_noise_seed_delta", 0, Into("sampler_options", "eta_noise_seed_delta", 0)),
    Option("randn_source", "CPU", Spelled("randn_source", _RNG, "rng")),
    Option("emphasis", "Original", Spelled("emphasis", _EMPHASIS, "emphasis")),
    Option(FORMAT, "png", Spelled(FORMAT, _FORMATS, "suffix")),
    Option("tiling", False, _tiling),
    Option("face_restoration", False, Directly("restore_faces")),
    Option("face_restoration_model", "", Directly("face_model")),
    Option("control_net_no_detectmap", False, Directly("no_detected_maps")),
    Option("eta_ancestral", 1.0, Directly("eta_ancestral")),
    Option("eta_ddim", 0.0, Directly("eta_ddim")),
    Option("s_churn", 0.0, Into("sampler_options", "s_churn", 0.0)),
    Option("s_tmin", 0.0, Into("sampler_options", "s_tmin", 0.0)),
    Option("s_tmax", 0.0, Into("sampler_options", "s_tmax", 0.0)),
    Option("s_noise", 1.0, Into("sampler_options", "s_noise", 1.0)),
    Option("sigma_min", 0.0, Into("sampler_options", "sigma_min", 0.0)),
    Option("sigma_max", 0.0, Into("sampler_options", "sigma_max", 0.0)),
    Option("rho", 0.0, Into("sampler_options", "rho", 0.0)),
    Option("beta_dist_alpha", 0.6, Into("sampler_options", "beta_alpha", 0.6)),
    Option("beta_dist_beta", 0.6, Into("sampler_options", "beta_beta", 0.6)),
    Option(
        "always_discard_next_to_last_sigma",
        False,
        Into("sampler_options", "discard_next_to_last_sigma", False),
    ),
    Option("img2img_fix_steps", False, Into("img2img", "full_steps")),
    Option("img2img_color_correction", False, Into("img2img", "color_correction")),
    Option("initial_noise_multiplier", 1.0, Into("img2img", "noise_multiplier")),
    Option("img2img_extra_noise", 0.0, Into("img2img", "extra_noise")),
)


def by_name() -> Mapping[str, Option]:
    """Those that change something, by name."""
    return {row.name: row for row in _ROWS}


WITHOUT_EFFECT = frozenset(
    """
    samples_save samples_filename_pattern save_images_add_number grid_save grid_format grid_extended_filename
    grid_only_if_multiple n_rows return_grid do_not_show_images enable_pnginfo save_txt jpeg_quality webp_lossless
    export_for_4chan img_downscale_threshold target_side_length save_init_img save_mask save_mask_composite
    outdir_samples outdir_txt2img_samples outdir_img2img_samples outdir_extras_samples outdir_grids
    outdir_txt2img_grids outdir_img2img_grids outdir_save outdir_init_images save_to_dirs grid_save_to_dirs
    directories_filename_pattern directories_max_prompt_words filter_nsfw
    show_progress_every_n_steps show_progressbar show_progress_grid show_progress_type live_previews_enable
    live_previews_image_format live_preview_content live_preview_refresh_period live_preview_allow_lowvram_full
    sd_checkpoint_cache sd_checkpoints_limit sd_checkpoints_keep_in_cpu sd_vae_checkpoint_cache sd_unet sd_lora
    sd_vae_overrides_per_model_preferences sd_vae_as_default sd_checkpoint_dropdown_use_short sd_hypernetwork
    sd_vae_encode_method sd_vae_decode_method auto_vae_precision upcast_attn cross_attention_optimization
    s_min_uncond s_min_uncond_all token_merging_ratio token_merging_ratio_img2img token_merging_ratio_hr
    pad_cond_uncond pad_cond_uncond_v0 persistent_cond_cache batch_cond_uncond fp8_storage cache_fp16_weight
    comma_padding_backtrack enable_emphasis enable_batch_seeds enable_quantization enable_prompt_comments
    use_old_emphasis_implementation use_old_karras_scheduler_sigmas use_old_hires_fix_width_height
    use_old_scheduling use_downcasted_alpha_bar no_dpmpp_sde_batch_determinism dont_fix_second_order_samplers_schedule
    refiner_switch_by_sample_steps hires_fix_use_firstpass_conds hires_fix_refiner_pass hires_fix_show_sampler
    hires_fix_show_prompts uni_pc_variant uni_pc_skip_type uni_pc_order uni_pc_lower_order_final sd_noise_schedule
    k_sched_type sgm_noise_multiplier skip_early_cond samples_log_stdout multiple_tqdm
    upscaler_for_img2img ESRGAN_tile ESRGAN_tile_overlap realesrgan_enabled_models code_former_weight
    face_restoration_unload postprocessing_enable_in_main_ui img2img_background_color img2img_editor_height
    img2img_inpaint_precise_mask inpainting_mask_weight overlay_inpaint sdxl_crop_top sdxl_crop_left
    sdxl_refiner_low_aesthetic_score sdxl_refiner_high_aesthetic_score sdxl_clip_l_skip sd3_enable_t5
    interrogate_keep_models_in_memory interrogate_return_ranks interrogate_clip_num_beams
    interrogate_clip_min_length interrogate_clip_max_length interrogate_clip_dict_limit
    interrogate_clip_skip_categories interrogate_deepbooru_score_threshold deepbooru_sort_alpha
    deepbooru_use_spaces deepbooru_escape deepbooru_filter_tags
    extra_networks_default_multiplier lora_preferred_name lora_functional lora_add_hashes_to_infotext
    quicksettings_list hidden_tabs ui_reorder_list localization gradio_theme send_seed send_size
    add_model_hash_to_info add_model_name_to_info add_version_to_infotext disable_weights_auto_swap
    forge_preset forge_additional_modules forge_unet_storage_dtype forge_inference_memory forge_async_loading
    forge_pin_shared_memory control_net_unit_count control_net_max_models_num control_net_model_cache_size
    control_net_allow_script_control control_net_detectedmap_dir
    """.split()  # noqa: SIM905 - two hundred names are read more easily as a text
)
"""Settings of the family that have no counterpart; clients set them by habit, so they are told instead of refused."""


def is_path(name: str) -> bool:
    """Whether the setting is a place on this machine's disk: none is set over the network, by nobody."""
    return name.startswith("outdir_") or name == "control_net_detectedmap_dir"


def known(name: str) -> Option | None:
    """The setting of that name; None for one without effect here.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in by_name() and name not in WITHOUT_EFFECT and name != HASH:
        raise UnknownNameError(
            "error.v1.option.unknown", found=name[:100], known=", ".join(by_name())
        )
    return by_name().get(name)


def checked(values: Mapping[str, JsonValue]) -> tuple[dict[str, JsonValue], list[str]]:
    """The values in their types, and the names of those without effect. Null is left out.

    Raises:
        UserError: a name that is none, or a value of another type; then nothing counts.
    """
    found: dict[str, JsonValue] = {}
    idle: list[str] = []
    for name, value in values.items():
        option = known(name)
        if option is None:
            idle.append(name)
        elif value is not None:
            found[name] = option.read(value)
            option.apply(Draft(), found[name])
    return found, idle


def draft(*layers: Mapping[str, JsonValue]) -> Draft:
    """What the values of several layers make of a request, the last layer wins."""
    merged = {row.name: row.default for row in _ROWS}
    for layer in layers:
        merged |= {name: value for name, value in layer.items() if name in merged}
    made = Draft()
    for row in _ROWS:
        row.apply(made, row.read(merged[row.name]))
    return made
