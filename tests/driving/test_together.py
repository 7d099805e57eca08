"""Batches side by side: in order, the same on any number of threads, and the caller's threads stay as they were."""

import threading

import pytest
import torch

from synth.driving.together import together


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def work(number: int) -> torch.Tensor:
    assert torch.get_num_threads() == 1 and torch.is_inference_mode_enabled()
    rng = torch.Generator().manual_seed(number)
    return torch.randn(400, 64, generator=rng) @ torch.randn(64, 64, generator=rng)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_in_order_and_equal_on_any_number_of_threads(threads: int, count: int) -> None:
    found = list(together(work, count))
    assert torch.get_num_threads() == threads and not torch.is_inference_mode_enabled()
    assert len(found) == count and all(torch.equal(a, work_alone(i)) for i, a in enumerate(found))


def work_alone(number: int) -> torch.Tensor:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return work(number)
    finally:
        torch.set_num_threads(before)


def test_two_run_at_once(threads: int) -> None:
    both = threading.Barrier(threads, timeout=60)
    assert list(together(lambda i: (both.wait(), i)[1], 2 * threads)) == list(range(2 * threads))


def test_a_fault_comes_out_and_threads_are_as_before(threads: int) -> None:
    def fails(number: int) -> int:
        if number == 1:
            raise ValueError("one")
        return number

    with pytest.raises(ValueError, match="one"):
        list(together(fails, 3))
    assert torch.get_num_threads() == threads
