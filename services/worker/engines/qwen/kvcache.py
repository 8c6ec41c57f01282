"""Keys and values of the pages being written: a slot for each, of room for the longest page."""

import torch


class SlotCache:
    """`keys` and `values` are (layers, slots, capacity, KV heads, head size); capacity is in tokens."""

    def __init__(
        self, *, layers: int, slots: int, capacity: int, heads: int, size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (layers, slots, capacity, heads, size)
        # Zeros, not whatever the memory held: what lies past a slot's length is masked, and a mask cannot hide NaN.
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def slots(self) -> int:
        """How many pages it holds."""
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        """How many tokens of a page it holds, prompt and answer together."""
        return self.keys.shape[2]
