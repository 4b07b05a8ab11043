"""The whole of the settings and how a YAML file becomes them."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from pipeline.errors import SettingsError
from pipeline.records import Split
from pipeline.settings.base import Name, Section
from pipeline.settings.data import DataSettings
from pipeline.settings.detector import DetectorSettings
from pipeline.settings.labeling import LabelingSettings
from pipeline.settings.mining import MiningSettings
from pipeline.settings.renamed import RENAMED
from pipeline.settings.report import ReportSettings
from pipeline.settings.runner import RunnerSettings
from pipeline.settings.selection import SelectionSettings
from pipeline.settings.training import TrainingSettings

_PATH_KEYS = frozenset({"workspace", "images", "annotations", "document_root", "start_from"})


WITHOUT_VAL = 2
"""`selection.committee`, by default, of a project whose sources have no split val."""


class Settings(Section):
    """Everything that a cycle depends on, beside the data and the answers of people."""

    name: Name = Field(description="shown in reports and in Label Studio")
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="drives every random choice")
    workspace: str = Field(description="folder or URI for the sample table, models, cycles and reports")
    data: DataSettings
    detector: DetectorSettings = DetectorSettings()
    training: TrainingSettings = TrainingSettings()
    mining: MiningSettings = MiningSettings()
    selection: SelectionSettings = SelectionSettings()
    labeling: LabelingSettings = LabelingSettings()
    report: ReportSettings = ReportSettings()
    runner: RunnerSettings = RunnerSettings()

    @model_validator(mode="before")
    @classmethod
    def _cross_fit_without_val(cls, values: Any) -> Any:
        """Where no image is there for calibration alone, the default is that every label teaches and certifies."""
        if not isinstance(values, dict) or _has_val(values.get("data")):
            return values
        selection = values.get("selection", {})
        if isinstance(selection, SelectionSettings):
            selection = selection.model_dump(exclude_unset=True)
        if not isinstance(selection, dict):
            return values
        return {**values, "selection": {"committee": WITHOUT_VAL, **selection}}

    def digest(self) -> str:
        """Hash of every value but the workspace's place and the runner.

        Returns:
            12 hex digits, the same for the same values on any machine; the paths of data sets are among them.
        """
        values = self.model_dump(mode="json", exclude={"workspace", "runner"})
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _has_val(data: Any) -> bool:
    """Whether a source has split val; of values that will be refused, whatever is said."""
    sources = data.get("sources") if isinstance(data, dict) else getattr(data, "sources", None)
    if not isinstance(sources, (list, tuple)):
        return False
    splits = [source.get("split") if isinstance(source, dict) else getattr(source, "split", None) for source in sources]
    return Split.VAL in splits


def load_settings(path: str | Path, overrides: Iterable[str] = ()) -> Settings:
    """Read settings from YAML.

    Args:
        path: The file. Relative paths inside are taken from its folder.
        overrides: `section.key=value` texts, the value in YAML, laid over the file; relative paths in them
            are taken from the working directory.

    Returns:
        Frozen, validated settings with absolute paths.

    Raises:
        SettingsError: The file is missing or no YAML mapping, or a key or value is refused; the message names
            each offending key, what was expected and the nearest known key.
    """
    file = Path(path)
    if not file.is_file():
        raise SettingsError(f"Expected a settings file, found none at {file}. See configs/ for examples.")
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError) as fault:
        raise SettingsError(f"{file}: expected YAML, got {fault}") from fault
    except RecursionError as fault:
        raise SettingsError(f"{file}: expected YAML, got sections that are nested too deeply") from fault
    if not isinstance(values, dict):
        raise SettingsError(f"{file}: expected a mapping of sections, got {type(values).__name__}")
    values = _absolute(values, file.resolve().parent)
    for override in overrides:
        _lay_over(values, override)
    return parse_settings(values, str(file))


def parse_settings(values: Mapping[str, Any], origin: str) -> Settings:
    """Validate a mapping.

    Args:
        values: Sections and keys.
        origin: Named in the error message.

    Returns:
        The settings.

    Raises:
        SettingsError: A key or value is refused.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as fault:
        lines = "\n".join(f"  {_explain(error)}" for error in fault.errors())
        raise SettingsError(f"{origin}: these settings cannot be used:\n{lines}") from fault


def dump_settings(settings: Settings) -> str:
    """Write settings as YAML that `load_settings` reads back to an equal object.

    Returns:
        The text, every key present.
    """
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _absolute(value: Any, folder: Path, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _absolute(item, folder, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, folder) for item in value]
    if key in _PATH_KEYS and isinstance(value, str) and "://" not in value:
        try:
            return str((folder / Path(value).expanduser()).resolve())
        except (OSError, RuntimeError, ValueError) as fault:
            raise SettingsError(f"{key}: expected a path, got {value!r}: {fault}") from fault
    return value


def _lay_over(values: dict[str, Any], override: str) -> None:
    dotted, separator, text = override.partition("=")
    if not separator:
        raise SettingsError(f"Expected section.key=value, got {override!r}")
    *sections, key = dotted.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{override!r}: {section!r} is a value, not a section")
    try:
        values[key] = _absolute(yaml.safe_load(text), Path.cwd(), key)
    except yaml.YAMLError as fault:
        raise SettingsError(f"{override!r}: expected a YAML value after '='") from fault


def _explain(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        message = error["msg"].removeprefix("Value error, ")
        got = "" if error["type"] in {"missing", "value_error"} else f", got {error['input']!r}"
        return f"{where or 'settings'}: {message}{got}"
    if where in RENAMED:
        return f"{where}: this key is now called {RENAMED[where]!r}"
    known = _known_keys(error["loc"][:-1])
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1, cutoff=0.4)
    hint = (
        f"did you mean {near[0]!r}?"
        if near
        else f"known keys: {', '.join(sorted(known))}; a key of a newer release needs that release"
    )
    return f"{where}: unknown key; {hint}"


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    section: type[Section] = Settings
    for part in location:
        if isinstance(part, str) and part in section.model_fields:
            section = _section_type(section.model_fields[part].annotation) or section
    return list(section.model_fields)


def _section_type(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if get_origin(annotation) in {Union, UnionType, tuple, list}:
        return next(filter(None, map(_section_type, get_args(annotation))), None)
    return None
