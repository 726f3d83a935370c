import torch

from imgcompress.image.buffers import BufferPool

CPU = torch.device("cpu")


def test_the_same_memory_is_used_again_and_counted() -> None:
    pool = BufferPool()
    first = pool.take("pixels", (2, 3, 4), torch.float32, CPU)
    first.fill_(7)
    second = pool.take("pixels", (4, 6), torch.float32, CPU)
    smaller = pool.take("pixels", (5,), torch.float32, CPU)
    assert first.data_ptr() == second.data_ptr() == smaller.data_ptr()
    assert (second == 7).all() and second.shape == (4, 6) and second.is_contiguous()
    assert (pool.allocations, pool.reuses) == (1, 2)


def test_storage_grows_to_the_largest_request_and_stays() -> None:
    pool = BufferPool()
    sizes = [(10,), (100,), (50,), (100,), (101,), (10,)]
    shapes = [pool.take("staging", size, torch.uint8, CPU).shape for size in sizes]
    assert shapes == sizes
    assert (pool.allocations, pool.reuses) == (3, 3)


def test_names_and_types_do_not_share() -> None:
    pool = BufferPool()
    requests = [("a", torch.float32), ("b", torch.float32), ("a", torch.uint8)]
    taken = [pool.take(name, (8,), dtype, CPU) for name, dtype in requests]
    assert [tensor.dtype for tensor in taken] == [dtype for _, dtype in requests]
    assert len({tensor.data_ptr() for tensor in taken}) == 3
    assert (pool.allocations, pool.reuses) == (3, 0)


def test_on_the_device(device: torch.device) -> None:
    pool = BufferPool()
    pinned = device.type == "cuda"
    assert pool.take("pixels", (4,), torch.float32, device).device.type == device.type
    assert pool.take("staging", (4,), torch.uint8, CPU, pinned=pinned).is_pinned() == pinned
