"""A comparison in words, the same for JUnit, annotations and tests."""

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
        lines.append("scores: " + ", ".join(f"{name} {value:.6g}" for name, value in result.scores.items()))
    for name, windows in result.worst.items():
        if windows:
            lines.append(f"worst windows by {name}: " + "; ".join(map(_place, windows)))
    return (*lines, *(f"note: {printable(note)}" for note in result.notes))


def _place(window: Window) -> str:
    return f"{window.value:.6g} at x={window.x} y={window.y} ({window.width} x {window.height})"
