"""Inspections for people: a panel for one file, a line for each of many."""

from collections.abc import Iterator

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from imgcompress.dataset.printable import printable
from imgcompress.forensics.structure import Structure
from imgcompress.inspection.record import Inspection


def show_panel(found: Inspection, console: Console) -> None:
    """Prints all that is known of one file."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(found):
        facts.add_row(Text(name, style="bold"), Text(printable(value), overflow="fold"))
    parts: list[Table | Text] = [facts]
    if found.findings:
        evidence = Table.grid(padding=(0, 2))
        evidence.add_row(Text("evidence", style="bold"), Text("sure"))
        for finding in found.findings:
            sure = Text(_percent(finding.confidence), justify="right")
            evidence.add_row(Text(finding.about), sure, Text(printable(finding.text)))
        parts += [Text(), evidence]
    console.print(Panel(Group(*parts)))


def show_line(found: Inspection, console: Console) -> None:
    """Prints the gist of one file."""
    console.out("  ".join(map(printable, (found.name, *_gist(found)))), highlight=False)


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    """Names and values, those that are known."""
    yield "file", found.name
    if found.error is not None:
        yield "not read", found.error
    if found.probe is not None:
        yield "format", _format(found)
    if found.size is not None:
        per_pixel = "" if found.bits_per_pixel is None else f", {found.bits_per_pixel:.2f} bits a pixel"
        yield "size", f"{found.size:,} bytes{per_pixel}"
    if found.structure is not None:
        yield "coding", _coding(found.structure)
    if found.psnr is not None:
        for name, estimate in (("RGB", found.psnr.rgb), ("luma", found.psnr.luma)):
            sure = f"{estimate.low:.1f} to {estimate.high:.1f} in nine of ten cases"
            since = "" if found.earlier is None else ", against what the last compression was given"
            yield f"PSNR ({name})", f"about {estimate.psnr:.1f} dB, {sure}{since}"
    if found.score is not None:
        low, high = found.likely_range or (found.score, found.score)
        yield "score", f"SSIMULACRA2 about {found.score:.0f}, {low:.0f} to {high:.0f} in nine of ten cases"
    if found.is_ours:
        yield "made by", "imgcompress"
    if found.advice is not None:
        yield "advice", found.advice.text


def _format(found: Inspection) -> str:
    assert found.probe is not None
    size, picture = found.probe, found.picture if found.is_decoded else None
    words = [size.format.upper()]
    if size.width is not None:
        words.append(f"{size.width} x {size.height} pixels")
    if size.frames > 1:
        words.append(f"{size.frames} pictures")
    if picture is not None:
        words += ["gray" if picture.is_gray else "color", f"{picture.bit_depth} bits a channel"]
        words += ["alpha"] if picture.alpha is not None else []
        words += ["ICC profile"] if picture.metadata.icc is not None else []
    return ", ".join(words)


def _coding(structure: Structure) -> str:
    words = ["progressive" if structure.progressive else "sequential", f"sampling {structure.subsampling}"]
    if structure.is_arithmetic:
        words.append("arithmetic")
    elif structure.standard_huffman is not None:
        words.append("standard Huffman tables" if structure.standard_huffman else "optimized Huffman tables")
    if structure.restart_interval:
        words.append(f"restart every {structure.restart_interval} MCUs")
    return ", ".join(words)


def _percent(confidence: float) -> str:
    """Only what is certain is 100 %."""
    return f"{100 if confidence == 1 else min(99, round(100 * confidence))} %"


def _gist(found: Inspection) -> Iterator[str]:
    """A few words, the most telling ones."""
    if found.error is not None:
        yield found.error
        return
    if found.probe is not None:
        size = "" if found.probe.width is None else f" {found.probe.width}x{found.probe.height}"
        yield f"{found.probe.format}{size}"
    yield f"{found.size:,} bytes"
    if found.history is not None and found.history.quality is not None:
        luma = found.history.quality.luma
        yield f"{'quality' if found.history.quality.exact else 'about quality'} {luma.quality}"
    if found.psnr is not None:
        yield f"PSNR {found.psnr.rgb.psnr:.1f}"
    if found.score is not None:
        yield f"score {found.score:.0f}"
    if found.earlier is not None:
        yield f"compressed before ({_percent(found.earlier.confidence)})"
    damage = next((finding for finding in found.findings if finding.about == "damage"), None)
    if damage is not None:
        yield f"damaged: {damage.text}"
    if found.advice is not None:
        yield found.advice.text
