"""Reading a TOML file into a pydantic model, with errors that name the line and the key."""

from __future__ import annotations

import codecs
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from benchmark.errors import SpecError
from benchmark.files import reading
from benchmark.registry import near_key

M = TypeVar("M", bound=BaseModel)


def read_toml(path: Path, model: type[M]) -> M:
    """Read and validate a TOML file.

    Raises:
        SpecError: not readable, not TOML (line and column), unknown key (near match), missing or wrong value (line).
    """
    with reading(path, SpecError):
        text = decoded(path.read_bytes())
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise SpecError(f"{path}: not valid TOML: nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits
        raise SpecError(f"{path}: not valid TOML: {error}") from None
    return validate(data, model, str(path), text)


def decoded(raw: bytes) -> str:
    """The text of a file that an editor has saved: UTF-8, or what its byte-order mark says.

    Raises:
        UnicodeError: it is neither.
    """
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = raw.decode("utf-16" if wide else "utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def validate(data: dict[str, Any], model: type[M], where: str, text: str = "") -> M:
    """Validate a mapping against a model; ``text`` is the TOML it came from, to find the line of a fault.

    Raises:
        SpecError: one line for each fault.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            loc = tuple(part for part in fault["loc"] if isinstance(part, int) or part in text or not text)
            line = find_line(text, loc)
            place = f"{where}, line {line}" if line else where
            key = ".".join(str(part) for part in loc) or "(whole file)"
            if fault["type"] == "extra_forbidden":
                known = known_keys(model, loc[:-1])
                lines.append(f"{place}: unknown key {key!r}{near_key(str(loc[-1]), known)}")
            elif fault["type"] == "missing":
                lines.append(f"{place}: {'.'.join(map(str, fault['loc']))!r} is missing")
            else:
                message = str(fault["msg"]).removeprefix("Value error, ")
                got = f", got {fault.get('input')!r}" if loc else ""  # of the whole file the message says it
                lines.append(f"{place}: {key!r}: {message}{got}")
        raise SpecError("\n".join(lines)) from None


def known_keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[str]:
    """Keys of the (nested) model that ``loc`` leads to."""
    for part in loc:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        inner = _model_in(model.model_fields[part].annotation)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (model := _model_in(inner)) is not None:
            return model
    return None


def find_line(text: str, loc: tuple[str | int, ...]) -> int | None:
    """Line (from 1) of the key that ``loc`` names, or of the nearest table around it."""
    names = [part for part in loc if isinstance(part, str)]
    position = next((part for part in loc if isinstance(part, int)), 0)
    if not names:
        return None
    table, seen, best = "", -1, None
    wanted_table, key = ".".join(names[:-1]), re.escape(names[-1])
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\[?\s*([^\]]+?)\s*\]", line)
        if header:
            table = header.group(1).replace('"', "")
            if table == names[0] and line.lstrip().startswith("[["):
                seen += 1
            if table == ".".join(names) and (len(names) > 1 or seen == position):
                best = best or number
            continue
        inside = table == wanted_table or (wanted_table.startswith(table) and table != "") or not wanted_table
        if inside and (seen < 0 or table == "" or seen == position):
            if table == wanted_table and re.match(rf'\s*"?{key}"?\s*=', line):
                return number
            if re.search(rf'(^|[{{,\s])"?{key}"?\s*=', line):
                best = best or number
    return best
