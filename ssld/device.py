"""Where the work runs: device, CPU threads, and this process's place among others."""
from __future__ import annotations

import contextlib
import ctypes
import os

import paddle
import paddle.distributed as dist

from .errors import InputError

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4             # of mallopt
_VIEWS = "FLAGS_use_stride_kernel"
_GLIBC_TRIM, _GLIBC_MMAPS, _INT_MAX = 128 << 10, 1 << 16, (1 << 31) - 1


def start(device: str = "auto") -> str:
    """Select the device, set the CPU threads, and join the other processes if there are any.

    Under `python -m paddle.distributed.launch` this makes the process one rank of the group; alone it stays alone.

    Args:
        device: auto (a GPU if this Paddle has one, else cpu), cpu, gpu, or any name that paddle.set_device knows.

    Returns:
        The device's name, such as "cpu" or "gpu:0".

    Raises:
        InputError: no such device here.
    """
    if device == "auto":
        has_gpu = paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
        device = "gpu" if has_gpu else "cpu"
    try:
        paddle.set_device(device)
    except (ValueError, RuntimeError) as error:
        raise InputError(f"Global.device: '{device}' cannot be used with this installation of Paddle "
                         f"({paddle.__version__}): {str(error).strip().splitlines()[-1]} Use device: cpu or auto.") from error
    if device == "cpu":
        # what OMP_NUM_THREADS would do, without Paddle's warning about it
        paddle.base.core.set_num_threads(cpu_threads())
        keep_memory()
        copy_slices()
    if world_size() > 1 and not dist.is_initialized():
        dist.init_parallel_env()
    return paddle.get_device()


def keep_memory(keep: bool = True) -> None:
    """Let this process keep the memory that it frees, or give it back to the system as glibc does by itself.

    A batch of pictures or of features is larger than what glibc keeps, so each step would get fresh pages, which the system
    fills with zeros first: a tenth of the time of a oneDNN teacher in float32, a quarter in bfloat16, two thirds of joining a
    batch (benchmarks/keep_memory.py). Processes that read data inherit it. Without glibc nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        mallopt(_MMAP_MAX, 0 if keep else _GLIBC_MMAPS)
        mallopt(_TRIM_THRESHOLD, _INT_MAX if keep else _GLIBC_TRIM)


def copy_slices(copy: bool = True) -> None:
    """Let slices and transposed tensors be copies, or views of the tensor they come from, as Paddle has it by itself.

    The operators behind a view read it in strides, and its gradient is a whole tensor of zeros with the slice in it: on a CPU
    the step of a Swin Transformer takes twice as long with views (benchmarks/slices.py). Values are the same. What looks at
    a tensor as another type by a view, as safetensors.paddle does when it reads, is refused by Paddle then.
    """
    paddle.set_flags({_VIEWS: not copy})


def cpu_threads() -> int:
    """CPU threads for this process: the cores it may run on, shared between the ranks of this machine."""
    cores = len(os.sched_getaffinity(0))
    ranks_here = int(os.environ.get("PADDLE_LOCAL_SIZE") or os.environ.get("PADDLE_TRAINERS_NUM") or 1)
    # workers of an executor have one thread each; OMP_NUM_THREADS says nothing, since Paddle sets it when it is imported
    allowed = os.environ.get("OPENBLAS_NUM_THREADS", "")
    return max(1, min(cores // ranks_here, int(allowed) if allowed.isdigit() else cores))


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank()


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size()


def wait_for_all() -> None:
    """Return when every process has come here."""
    if world_size() > 1:
        dist.barrier()


def is_main() -> bool:
    """Whether this process is the one that prints and writes files."""
    return rank() == 0


@contextlib.contextmanager
def main_first():
    """Inside the block the main process goes first; the others follow when it is through, and find its files there."""
    if world_size() > 1 and not is_main():
        dist.barrier()
    yield
    if world_size() > 1 and is_main():
        dist.barrier()
