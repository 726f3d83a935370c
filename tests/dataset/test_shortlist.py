from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st

from imgcompress.dataset.shortlist import Shortlist


@given(st.lists(st.integers(0, 9)), st.integers(1, 5))
def test_keeps_the_highest_and_of_equal_ones_the_first(ranks: list[int], most: int) -> None:
    shortlist: Shortlist[int] = Shortlist(most)
    for place, rank in enumerate(ranks):
        shortlist.add(float(rank), place)
    assert shortlist.items == sorted(range(len(ranks)), key=lambda place: -ranks[place])[:most]


def test_takes_says_what_add_does() -> None:
    shortlist: Shortlist[str] = Shortlist(2)
    assert shortlist.takes(-inf) and not shortlist.takes(nan)
    for rank, name in ((1.0, "a"), (3.0, "b"), (nan, "c")):
        shortlist.add(rank, name)
    assert not shortlist.takes(1.0) and shortlist.takes(1.5)
    shortlist.add(1.0, "d")
    shortlist.add(2.0, "e")
    assert shortlist.items == ["b", "e"]
