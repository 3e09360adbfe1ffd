"""The table: names, aliases, and every row really run with every schedule that it says it knows."""

import subprocess
import sys

import pytest
import torch

from modules.diffusion import samplers
from modules.diffusion.pipeline import generate
from modules.diffusion.samplers import SAMPLERS, build, find_sampler, pick
from modules.diffusion.schedules import SCHEDULES, find_schedule
from modules.errors import UnknownNameError, UserError

PAIRS = [(sampler.name, schedule) for sampler in SAMPLERS for schedule in sampler.schedules]
CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
}


@pytest.mark.parametrize(("sampler", "schedule"), PAIRS)
def test_every_pair_of_the_table_makes_a_picture(parts, request_, monkeypatch, sampler, schedule):
    built = []
    monkeypatch.setattr(samplers, "build", lambda *given: built.append(build(*given)) or built[-1])
    (image,) = generate(parts, request_.replace(sampler=sampler, schedule=schedule, steps=4))
    assert image.size == (32, 32)
    (scheduler,) = built
    row = find_sampler(sampler)
    asked = find_schedule(row.automatic if schedule == "automatic" else schedule)
    for key, value in {**row.options, **asked.config}.items():
        if value:  # what is cleared may be unknown to the class
            assert scheduler.config[key] == value


@pytest.mark.parametrize("sampler", [sampler.name for sampler in SAMPLERS])
def test_few_steps_are_enough_for_every_sampler(parts, request_, sampler):
    for steps in (1, 2):
        seen = []
        generate(parts, request_.replace(sampler=sampler, steps=steps), (), seen.append)
        assert seen[-2].step == steps


@pytest.mark.parametrize("name", [sampler.name for sampler in SAMPLERS])
def test_the_model_s_configuration_reaches_the_scheduler(name):
    scheduler = build(find_sampler(name), find_schedule("default"), CONFIG)
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.config.beta_end == 0.012
    assert scheduler.config.get("clip_sample", False) is False
    assert scheduler.config.get("timestep_spacing", "trailing") == "trailing"


@pytest.mark.parametrize("schedule", ["karras", "exponential", "beta", "uniform"])
def test_schedules_differ_from_one_another(schedule):
    def sigmas(name):
        scheduler = build(find_sampler("euler"), find_schedule(name), CONFIG)
        scheduler.set_timesteps(6)
        return scheduler.sigmas

    assert not torch.allclose(sigmas(schedule), sigmas("default"), rtol=1e-3)


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


def test_automatic_is_what_the_row_says():
    assert build(
        find_sampler("dpmpp_2m"), find_schedule("automatic"), CONFIG
    ).config.use_karras_sigmas
    assert not build(
        find_sampler("euler"), find_schedule("automatic"), CONFIG
    ).config.use_karras_sigmas


def test_a_schedule_clears_what_the_model_s_configuration_sets():
    karras = {**CONFIG, "use_karras_sigmas": True}
    config = build(find_sampler("euler"), find_schedule("exponential"), karras).config
    assert (config.use_karras_sigmas, config.use_exponential_sigmas) == (False, True)
    assert build(find_sampler("euler"), find_schedule("default"), karras).config.use_karras_sigmas


def test_what_a_sampler_cannot_do_is_refused():
    with pytest.raises(UserError, match="Euler a cannot follow the schedule Karras"):
        pick("euler_a", "karras")
    with pytest.raises(UserError, match="DDIM cannot follow"):
        build(find_sampler("ddim"), find_schedule("beta"), CONFIG)
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
