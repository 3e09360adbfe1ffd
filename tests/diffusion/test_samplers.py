"""The table: names, aliases, and every row really run with every schedule that it says it knows."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from modules.diffusion import spacing
from modules.diffusion.levels import from_config
from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import SAMPLERS, find_sampler, pick, spacing_of
from modules.diffusion.schedules import SCHEDULES, find_schedule
from modules.diffusion.timeline import lay_out
from modules.errors import UnknownNameError, UserError
from modules.schema import SamplerOptions, Stage
from modules.schema.options import MAX_SIGMA, MIN_SIGMA

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LEVELS = from_config(SD)


def laid_out(sampler="euler", schedule="default", steps=6, config=SD, **options):
    row, chosen = pick(sampler, schedule)
    return lay_out(
        from_config(config), row, chosen, steps, SamplerOptions(**options), config=config
    )


@pytest.mark.parametrize("sampler", [row.name for row in SAMPLERS])
@pytest.mark.parametrize("schedule", [row.name for row in SCHEDULES])
def test_every_pair_of_the_table_can_be_laid_out(sampler, schedule):
    track = laid_out(sampler, schedule, 8)
    assert track.steps == 8
    assert list(track.sigmas) == sorted(track.sigmas, reverse=True)


@pytest.mark.parametrize("sampler", [row.name for row in SAMPLERS])
def test_every_sampler_makes_a_picture(parts, request_, sampler):
    (image,) = generate(parts, request_.replace(sampler=sampler, schedule="automatic", steps=4))
    assert image.size == (32, 32)


@pytest.mark.parametrize("sampler", [sampler.name for sampler in SAMPLERS])
def test_few_steps_are_enough_for_every_sampler(parts, request_, sampler):
    for steps in (1, 2):
        seen = []
        generate(parts, request_.replace(sampler=sampler, steps=steps), (), seen.append)
        told = [each.step for each in seen if each.stage is Stage.DENOISING]
        assert told[-1] == steps


def test_the_default_is_the_model_s_own_spacing():
    """The time steps of arXiv 2305.08891, table 2, as diffusers writes them."""
    leading = {**SD, "timestep_spacing": "leading", "steps_offset": 1}
    assert np.allclose(laid_out(steps=4, config=leading).timesteps, [751, 501, 251, 1])
    assert np.allclose(laid_out("unipc", steps=4, config=leading).timesteps, [801, 601, 401, 201])
    trailing = {**SD, "timestep_spacing": "trailing"}
    assert np.allclose(laid_out(steps=4, config=trailing).timesteps, [999, 749, 499, 249])
    assert np.allclose(laid_out(steps=4).timesteps, [999, 666, 333, 0])


def test_a_model_s_own_flags_shape_its_default():
    karras = laid_out(config={**SD, "use_karras_sigmas": True})
    assert np.allclose(karras.sigmas, laid_out(schedule="karras").sigmas)


def test_zero_terminal_snr_begins_where_nothing_of_the_picture_is_left():
    track = laid_out(config={**SD, "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"})
    assert track.sigmas[0] == pytest.approx(4096, rel=1e-3)
    assert track.timesteps[0] == pytest.approx(999)


def test_schedules_differ_from_one_another():
    alike = {"normal": "uniform", "polyexponential": "exponential"}  # unless told to differ
    found = {row.name: laid_out(schedule=row.name, steps=7).sigmas for row in SCHEDULES[2:]}
    for name, sigmas in found.items():
        twins = {other for other, theirs in found.items() if np.allclose(sigmas, theirs, rtol=1e-6)}
        assert twins <= {name, alike.get(name), *(one for one in alike if alike[one] == name)}


def test_known_numbers_of_schedules():
    ays = laid_out(schedule="align_your_steps", steps=11)
    assert ays.sigmas[:4] == pytest.approx((14.615, 6.475, 3.861, 2.697))
    row, schedule = pick("euler", "align_your_steps")
    xl = lay_out(LEVELS, row, schedule, 11, SamplerOptions(), family="sdxl")
    assert xl.sigmas[:4] == pytest.approx((14.615, 6.315, 3.771, 2.181))
    assert laid_out(schedule="turbo", steps=4).timesteps == pytest.approx((999, 749, 499, 249))
    assert laid_out(schedule="ddim", steps=4).timesteps == pytest.approx((751, 501, 251, 1))
    assert laid_out("lcm", steps=4).timesteps == pytest.approx((999, 759, 499, 259))
    assert laid_out(schedule="simple", steps=4).timesteps == pytest.approx((999, 749, 499, 249))
    sgm = laid_out(schedule="sgm_uniform", steps=4).timesteps
    assert sgm == pytest.approx((999, 749.25, 499.5, 249.75))


@pytest.mark.parametrize(("share", "one", "two"), [(0.1, 0.6, 0.6), (0.5, 2, 5), (0.93, 0.6, 3)])
def test_the_beta_distribution_is_right(share, one, two):
    stats = pytest.importorskip("scipy.stats")
    found = spacing.beta_quantile(share, one, two)
    assert found == pytest.approx(stats.beta.ppf(share, one, two), abs=1e-8)


def test_options_shape_the_levels():
    narrow = laid_out(schedule="karras", sigma_min=0.1, sigma_max=5.0, rho=3.0)
    assert (narrow.sigmas[0], narrow.sigmas[-2]) == pytest.approx((5.0, 0.1))
    assert narrow.sigmas[2] != pytest.approx(
        laid_out(schedule="karras", sigma_min=0.1, sigma_max=5.0).sigmas[2]
    )
    longer = laid_out(schedule="karras", steps=7).sigmas
    short = laid_out(schedule="karras", discard_next_to_last_sigma=True).sigmas
    assert short == (*longer[:-2], 0.0)
    assert laid_out("dpm2", "karras").sigmas == short, "as the A1111 family does it for DPM2"
    with pytest.raises(UserError, match="sigma min"):
        laid_out(schedule="karras", sigma_min=5.0, sigma_max=5.0)


def test_the_tail_is_the_end_of_the_whole():
    config = {**SD, "timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False}
    track = laid_out("ddim", steps=10, config=config)
    tail = track.tail(3)
    assert tail.sigmas == track.sigmas[-4:]
    assert (tail.steps, tail.scale) == (3, track.scale)
    assert track.scale < 1
    head = track.head(7)
    assert head.sigmas[-1] == tail.sigmas[0]
    assert head.scale == 1
    with pytest.raises(ValueError, match="steps"):
        track.tail(11)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("euler_a", "euler_a"),
        ("Euler a", "euler_a"),
        ("EULER A", "euler_a"),
        ("k_euler_a", "euler_a"),
        ("DPM++ 2M", "dpmpp_2m"),
        (" PNDM ", "plms"),
        ("DPM++ 2M Karras", "dpmpp_2m"),
    ],
)
def test_a_sampler_is_found_by_any_of_its_names(name, expected):
    assert find_sampler(name).name == expected


@pytest.mark.parametrize(
    ("sampler", "schedule", "expected"),
    [
        ("DPM++ 2M Karras", None, ("dpmpp_2m", "karras")),
        ("DPM++ 2M Karras", "default", ("dpmpp_2m", "karras")),
        ("DPM++ 2M SDE Exponential", "Automatic", ("dpmpp_2m_sde", "exponential")),
        ("k_dpmpp_2m karras", None, ("dpmpp_2m", "karras")),
        ("dpmpp_2m", "Karras", ("dpmpp_2m", "karras")),
        ("euler", None, ("euler", "default")),
        ("Euler SGM Uniform", None, ("euler", "sgm_uniform")),
        ("dpm2", "automatic", ("dpm2", "automatic")),
    ],
)
def test_a_pair_is_found_by_what_people_write(sampler, schedule, expected):
    row, chosen = pick(sampler, schedule)
    assert (row.name, chosen.name) == expected


@pytest.mark.parametrize(
    ("sampler", "schedule"),
    [
        ("dpmpp_2m", "karras"),
        ("restart", "karras"),
        ("dpmpp_3m_sde", "exponential"),
        ("euler_a", "uniform"),
        ("ddim", "ddim"),
        ("lms", "uniform"),
    ],
)
def test_automatic_is_what_people_know(sampler, schedule):
    row = find_sampler(sampler)
    assert spacing_of(row, find_schedule("automatic")) is find_schedule(schedule).spacing


def test_what_a_sampler_cannot_do_is_refused():
    rigid = replace(find_sampler("euler"), name="rigid", label="Rigid", schedules=("default",))
    with pytest.raises(UserError, match="Rigid cannot follow the schedule Karras"):
        pick("rigid", "karras", (rigid,))
    assert pick("Rigid", None, (rigid,))[0] is rigid
    with pytest.raises(UserError, match="names a schedule already"):
        pick("DPM++ 2M Karras", "beta")


def test_unknown_names_list_the_known():
    with pytest.raises(UnknownNameError, match=r"“euler_b”.*euler_a, euler"):
        find_sampler("euler_b")
    with pytest.raises(UnknownNameError, match=r"“foo”.*karras"):
        pick("euler", "foo")
    with pytest.raises(UnknownNameError, match="“Foo Karras”"):
        pick("Foo Karras")


def test_too_many_steps_for_a_sampler_are_a_sentence(parts, request_):
    with pytest.raises(UserError, match="LCM cannot work with 60 steps"):
        generate(parts, request_.replace(sampler="lcm", steps=60))


def test_no_two_rows_share_a_name():
    for table in (SAMPLERS, SCHEDULES):
        names = [
            name
            for row in table
            for name in {n.casefold() for n in (row.name, row.label, *row.aliases)}
        ]
        assert len(names) == len(set(names))


def test_the_tables_come_without_torch():
    code = (
        "import sys, modules.diffusion.samplers, modules.diffusion.schedules, modules.diffusion.adapter, "
        "modules.library.scan, modules.library.hashes, modules.library.cache, modules.diffusion.prompts.tokens; "
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("schedule", [row.name for row in SCHEDULES])
@pytest.mark.parametrize(
    "options",
    [
        {"sigma_max": MAX_SIGMA},
        {"sigma_min": MIN_SIGMA},
        {"sigma_min": MIN_SIGMA, "sigma_max": MAX_SIGMA, "rho": 0.1},
        {"sigma_min": MIN_SIGMA, "sigma_max": MAX_SIGMA, "rho": 100.0},
        {"beta_alpha": 0.01, "beta_beta": 0.01},
        {"beta_alpha": 10.0, "beta_beta": 0.01},
    ],
)
def test_the_widest_options_give_levels_or_a_sentence(schedule, options):
    try:
        track = laid_out("dpmpp_2m", schedule, 20, **options)
    except UserError:
        return
    assert np.isfinite(track.sigmas).all() and np.isfinite(track.timesteps).all()


@pytest.mark.parametrize(
    ("name", "value"), [("sigma_max", 1e300), ("sigma_min", 1e-300), ("rho", 1e-9), ("s_tmax", 1e9)]
)
def test_levels_that_no_number_holds_are_refused(name, value):
    with pytest.raises(ValidationError, match=name):
        SamplerOptions(**{name: value})
