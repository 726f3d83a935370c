"""A comparison in words, the same for JUnit, annotations and tests."""

from imgcompress.comparison.criteria import METRICS
from imgcompress.comparison.record import Compared, Outcome
from imgcompress.dataset.printable import printable
from imgcompress.perception.windows import Window

_WITHOUT_SCORES = {
    Outcome.MISSING: "there is a reference and no test picture",
    Outcome.EXTRA: "there is a test picture and no reference",
    Outcome.ERROR: "it cannot be compared",
}


def complaints(result: Compared) -> tuple[str, ...]:
    """Why a pair did not pass, one line each; none where it passed.

    Args:
        result: of any outcome.
    """
    if result.outcome is Outcome.PASSED:
        return ()
    if result.outcome is Outcome.FAILED:
        return tuple(map(printable, result.failures))
    return (printable(result.error or _WITHOUT_SCORES[result.outcome]),)


def scores(result: Compared) -> str:
    """What was measured over the whole picture, in one line.

    Args:
        result: of any outcome.
    """
    return ", ".join(f"{name} {METRICS[name].text(value)}" for name, value in result.scores.items())


def measurements(result: Compared) -> tuple[str, ...]:
    """What was measured and noted of a pair, one line each: files, size, scores, worst windows, notes.

    Args:
        result: of any outcome.
    """
    files = (("reference", result.reference), ("test", result.test))
    lines = [f"{role}: {printable(file.as_posix())}" for role, file in files if file is not None]
    if result.width is not None:
        lines.append(f"size: {result.width} x {result.height}")
    if result.scores:
        lines.append(f"scores: {scores(result)}")
    for name, windows in result.worst.items():
        if windows:
            places = (f"{METRICS[name].text(window.value)} {_place(window)}" for window in windows)
            lines.append(f"worst windows by {name}: {'; '.join(places)}")
    return (*lines, *(f"note: {printable(note)}" for note in result.notes))


def _place(window: Window) -> str:
    return f"at ({window.x}, {window.y}), {window.width} x {window.height}"
