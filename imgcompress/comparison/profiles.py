"""Named sets of criteria: files in ``configs/profiles``, or a user's own."""

from pathlib import Path

from imgcompress.comparison.criteria import Criterion, criterion
from imgcompress.errors import UsageError
from imgcompress.resources import resource_path

DEFAULT_PROFILE = "high"
_SECTIONS = {"thresholds": False, "worst_windows": True}


def load_profile(name: str) -> tuple[Criterion, ...]:
    """The criteria of a profile.

    Args:
        name: of one that comes with the package, or the path of a YAML file like those.

    Raises:
        UsageError: there is none of this name, or the file cannot be read or makes no sense.
    """
    import yaml

    known = {path.stem: path for path in resource_path("configs/profiles").glob("*.yaml")}
    path = known.get(name, Path(name))
    if name not in known and path.suffix.lower() not in (".yaml", ".yml"):
        names = ", ".join(sorted(known))
        raise UsageError(f"--profile: expected one of {names}, or a .yaml file, got {name!r}")
    try:
        sections = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--profile: {path}: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"--profile: {path} is no YAML file: {error}") from error
    found = list(_criteria(sections, f"--profile: {path}"))
    if not found:
        raise UsageError(f"--profile: {path} has no criteria")
    return tuple(found)


def _criteria(sections: object, where: str) -> list[Criterion]:
    if not isinstance(sections, dict):
        raise UsageError(f"{where}: expected the keys {', '.join(_SECTIONS)}")
    found = []
    for section, bounds in sections.items():
        if section not in _SECTIONS:
            raise UsageError(f"{where}: expected the keys {', '.join(_SECTIONS)}, got {section!r}")
        if not isinstance(bounds, dict):
            raise UsageError(f"{where}: {section}: expected metrics with numbers")
        for name, bound in bounds.items():
            place = f"{where}: {section}"
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                raise UsageError(f"{place}: {name}: {bound!r} is not a number")
            found.append(criterion(str(name), float(bound), place, in_windows=_SECTIONS[section]))
    return found
