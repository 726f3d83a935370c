"""The few best out of any number."""

import heapq
from math import isnan
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Shortlist(Generic[Item]):
    """Keeps the items of highest rank; of equal ranks those that came first.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Item]] = []
        self._seen = 0

    def takes(self, rank: float) -> bool:
        """Whether an item of this rank would be kept now; one that is not a number never is."""
        return not isnan(rank) and (len(self._heap) < self._most or rank > self._heap[0][0])

    def add(self, rank: float, item: Item) -> None:
        """Keeps the item if its rank is high enough, in place of the lowest."""
        if not self.takes(rank):
            return
        self._seen += 1
        heapq.heappush(self._heap, (rank, -self._seen, item))
        if len(self._heap) > self._most:
            heapq.heappop(self._heap)

    @property
    def items(self) -> list[Item]:
        """Highest rank first."""
        return [item for _, _, item in sorted(self._heap, reverse=True, key=lambda entry: entry[:2])]
