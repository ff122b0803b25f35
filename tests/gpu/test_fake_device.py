"""The pretended GPU behaves as CUDA does."""

import pytest
import torch
from torch import nn

from tests.gpu.fake_device import DEVICE, STAGED_BYTES, FakeDevice, WrongDevice


@pytest.fixture
def device():
    with FakeDevice() as device:
        yield device


def operations(device):
    return [wait.operation for wait in device.waits]


def test_results_are_those_of_the_cpu_and_stay_on_the_device(device):
    layer = nn.Linear(3, 2)
    x = torch.rand(4, 3)
    expected = layer(x).sum()
    expected.backward()
    gradient, layer.weight.grad, layer.bias.grad = layer.weight.grad, None, None
    layer.to(DEVICE)
    loss = layer(x.to(DEVICE)).sum()
    loss.backward()
    assert {loss.device.type, layer.weight.grad.device.type} == {DEVICE}
    assert loss.item() == expected.item()
    assert torch.equal(layer.weight.grad.cpu(), gradient)


def test_tensors_of_both_places_are_refused(device):
    there = torch.arange(4, device=DEVICE)
    with pytest.raises(WrongDevice, match=r"a tensor \(4,\) is on the host"):
        there + torch.arange(4)
    with pytest.raises(WrongDevice):
        torch.cat((there, torch.arange(1)))
    with pytest.raises(WrongDevice):  # only pointwise operations take numbers
        torch.stack((there[0], torch.tensor(1)))
    assert len(device.refused) == 3
    assert (there + torch.tensor(1)).tolist() == [1, 2, 3, 4]


def test_what_needs_values_is_waited_for(device):
    there = torch.zeros(4).to(DEVICE)
    device.waits.clear()
    there.nonzero()
    there[there > 0]
    there[torch.tensor([0, 1])]
    bool(there[0] > 0)
    there.cpu()
    there.tolist()
    assert operations(device) == [
        "nonzero", "index by a mask", "index by indices of the host", "_local_scalar_dense",
        "copy to the host", "copy to the host",
    ]  # fmt: skip


def test_what_needs_none_is_not(device):
    there = torch.rand(4, 4).to(DEVICE)
    device.waits.clear()
    there[0], there[:2], there[there.argmax(1)]
    torch.where(there > 0.5, there, 0.0).sum().add_(1)
    torch.zeros(3, device=DEVICE)
    there.half().float()
    assert device.waits == []


@pytest.mark.parametrize(
    ("num_bytes", "non_blocking", "waits"),
    [(STAGED_BYTES, True, 0), (STAGED_BYTES, False, 1), (STAGED_BYTES + 1, True, 1)],
)
def test_copies_to_the_device(num_bytes, non_blocking, waits, device):
    torch.zeros(num_bytes, dtype=torch.uint8).to(DEVICE, non_blocking=non_blocking)
    assert operations(device) == ["copy to the device"] * waits


def test_numbers_are_copied_to_the_device(device):
    torch.tensor([1, 2], device=DEVICE)
    assert operations(device) == ["copy to the device"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype, device):
    x = torch.full((4, 4), 300.0, device=DEVICE)
    with torch.autocast(DEVICE, dtype):
        product = x @ x
        total = product.sum()
        assert (x.double() @ x.double()).dtype == torch.float64
    assert product.dtype == dtype
    assert total.dtype == torch.float32
    # 4 * 300 ** 2 is more than float16 can hold.
    assert torch.isfinite(total).item() == (dtype == torch.bfloat16)
