import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgcompress.dataset.html.histogram import MOST_BINS, bin_edges, draw_histogram

SVG = "{http://www.w3.org/2000/svg}"


def drawn(values: np.ndarray, **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(draw_histogram(values, "a < b", **options))


def titles(svg: ElementTree.Element) -> list[str]:
    return [str(title.text) for title in svg.iter("title")]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_every_value_is_counted_once(values: list[float]) -> None:
    svg = drawn(np.array(values))
    counts = [int(re.search(r": ([\d,]+) of", title)[1].replace(",", "")) for title in titles(svg)]
    assert sum(counts) == len(values)
    assert 1 <= len(counts) <= MOST_BINS + 2


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_edges_are_round_and_even(values: list[float]) -> None:
    edges = bin_edges(np.array(values))
    steps = np.diff(edges)
    assert np.allclose(steps, steps[0])
    assert re.fullmatch(r"[125]e[+-]\d+", f"{steps[0]:.0e}")


def test_bars_are_as_high_as_their_counts() -> None:
    svg = drawn(np.array([1.0] * 6 + [2.0] * 3 + [9.0]))
    heights = [float(bar.attrib["height"]) for bar in svg.iter("rect") if bar.attrib["class"] == "bar"]
    counts = [int(re.search(r": (\d+) of", title)[1]) for title in titles(svg)]
    assert sorted(counts)[-3:] == [1, 3, 6]
    assert np.allclose(np.array(heights) / max(heights), np.array(counts) / 6, atol=0.01)


def test_far_off_values_are_in_the_outermost_bins_and_said_to_be() -> None:
    values = np.concatenate([np.linspace(70, 80, 1000), [-900.0]])
    first, *_ = titles(drawn(values))
    assert first.startswith("below 70.5")
    assert len(titles(drawn(values))) > 15


def test_the_label_the_median_and_the_mark() -> None:
    svg = drawn(np.arange(101.0), mark=("target", 70.0))
    words = [text.text for text in svg.iter("text")]
    assert {"a < b", "median 50.0", "target 70", "files"} <= set(words)
    assert "Median 50" in svg.attrib["aria-label"]
    assert "target 700" not in [
        text.text for text in drawn(np.arange(9.0), mark=("target", 700.0)).iter("text")
    ]


@pytest.mark.parametrize("value", [0.0, 73.9, -5.0, 1e-9])
def test_equal_values(value: float) -> None:
    assert [title for title in titles(drawn(np.full(5, value))) if ": 5 of 5 files (100.0 %)" in title]
