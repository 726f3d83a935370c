"""The results of a comparison as JUnit XML, which GitHub's actions, GitLab and Jenkins read."""

from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

from imgcompress.comparison.record import Compared, Outcome
from imgcompress.comparison.told import complaints, measurements
from imgcompress.dataset.printable import printable
from imgcompress.errors import PictureError, UsageError
from imgcompress.image.write import write_atomically

_SUITE = "imgcompress compare"
_CLASS = "imgcompress.compare"


def write_junit(path: Path, results: Iterable[Compared], seconds: float) -> None:
    """Writes one test case a pair, whole or not at all.

    What could not be compared is an error, all else that did not pass a failure.

    Args:
        path: of the file; one that is there is replaced.
        results: in the order in which they are to be listed.
        seconds: that the comparison took.

    Raises:
        UsageError: it cannot be written.

    Source: ``junit-10.xsd`` of Jenkins' xunit plugin, the strictest of the readers; there is no standard.
    """
    results = list(results)
    errors = sum(result.outcome is Outcome.ERROR for result in results)
    failures = sum(result.outcome is not Outcome.PASSED for result in results) - errors
    counts = {"tests": len(results), "failures": failures, "errors": errors}
    facts = {"name": _SUITE} | {key: str(count) for key, count in counts.items()} | {"time": f"{seconds:.3f}"}
    root = ElementTree.Element("testsuites", facts)
    suite = ElementTree.SubElement(root, "testsuite", facts)
    for result in results:
        _add_case(suite, result)
    ElementTree.indent(root)
    try:
        write_atomically(path, ElementTree.tostring(root, "utf-8", xml_declaration=True))
    except PictureError as error:
        raise UsageError(f"--junit: {error}") from error


def _add_case(suite: ElementTree.Element, result: Compared) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_CLASS, name=printable(result.name))
    if complaint := complaints(result):
        tag = "error" if result.outcome is Outcome.ERROR else "failure"
        verdict = ElementTree.SubElement(case, tag, type=result.outcome.value, message="; ".join(complaint))
        verdict.text = "\n".join(complaint)
    if measured := measurements(result):
        ElementTree.SubElement(case, "system-out").text = "\n".join(measured)
