"""Mixed precision: in which type a network runs."""

import torch


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The type of mixed precision: bf16 where asked for, or where a GPU has it in hardware; else float32.

    Args:
        precision: auto, bf16 or fp32.
    """
    if precision == "bf16":
        return torch.bfloat16
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if precision == "auto" and has_bf16 else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Within it operations run in that type where they may; float32: as they are."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
