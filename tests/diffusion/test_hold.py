"""Memory and precision: what is tried, in which order, what is said, and that all is as before."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from modules.diffusion.memory import Remedy, offloaded, ran_out, within_memory
from modules.diffusion.precision import computing_in, higher


def remedy(name, log):
    @contextmanager
    def take():
        log.append(f"+{name}")
        yield
        log.append(f"-{name}")

    return Remedy(name, take)


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_remedies_add_up_until_it_works(failures):
    log, told, left = [], [], [failures]

    def work():
        log.append("work")
        if left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 7

    assert within_memory(work, [remedy("a", log), remedy("b", log)], told.append) == 7
    assert told == ["a", "b"][:failures]
    expected = {
        0: ["work"],
        1: ["work", "+a", "work", "-a"],
        2: ["work", "+a", "work", "+b", "work", "-b", "-a"],
    }
    assert log == expected[failures]


def test_when_nothing_helps_it_says_so_and_each_was_tried_once():
    log = []

    def work():
        log.append("work")
        raise torch.OutOfMemoryError("no")

    with pytest.raises(torch.OutOfMemoryError):
        within_memory(work, [remedy("a", log), remedy("b", log)], lambda key: None)
    assert log.count("work") == 3


def test_other_errors_are_not_taken_for_lack_of_memory():
    def work():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes"):
        within_memory(work, [remedy("a", [])], lambda key: None)
    assert ran_out(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert ran_out(MemoryError())
    assert not ran_out(ValueError("out of memory"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_come_back_bit_for_bit(dtype):
    module = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)).to(dtype)
    module[0].weight.data[0, 0] = 1.0009765625 if dtype == torch.float16 else 1.0078125
    before = {name: value.clone() for name, value in module.state_dict().items()}
    kept = dict(module.named_parameters())
    with pytest.raises(RuntimeError), computing_in(module, torch.float32):
        assert module[0].weight.dtype == torch.float32
        module[0].weight.data.mul_(3)
        raise RuntimeError
    for name, value in module.state_dict().items():
        assert value.dtype == before[name].dtype
        assert torch.equal(value, before[name])
    assert all(kept[name] is value for name, value in module.named_parameters())


def test_what_comes_after_what():
    assert higher(torch.float16, small=True) == torch.float32
    assert higher(torch.float16, small=False) == torch.bfloat16
    assert higher(torch.bfloat16, small=False) == torch.float32
    assert higher(torch.float32, small=True) is None


def test_offloading_keeps_the_very_tensors():
    module = nn.Linear(4, 4)
    before = dict(module.named_parameters())
    with offloaded([module, None]):
        assert all(each.device.type == "cpu" for each in module.parameters())
    assert all(before[name] is value for name, value in module.named_parameters())
