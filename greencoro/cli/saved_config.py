"""Options of a command in a file, as ``--save_config`` writes them for ``--config``.

The file is an INI file with one section, DEFAULT, in which options go by their long names. One that may be repeated has
a line for each value.
"""

from __future__ import annotations

import configparser
import io
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from greencoro.errors import ConfigError

__all__ = ["config_option", "given", "read", "save", "save_option"]

_SECTION = configparser.DEFAULTSECT


def config_option(translate: Callable[[Mapping[str, str]], Mapping[str, str]] = dict) -> click.Option:
    """``--config FILE``: options from the file take the place of defaults, so that the command line wins.

    Args:
        translate: What a file says, by the names in it, as `save_option` would have saved it.
    """

    def use(context: click.Context, parameter: click.Parameter, file: Path | None) -> None:
        if file is not None:
            context.default_map = read(file, context, translate)

    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        # Before the others are looked at, for it is where they get their values from.
        is_eager=True,
        expose_value=False,
        callback=use,
        help="Take options from this file, as --save_config writes it; those of the command line win.",
    )


def save_option() -> click.Option:
    """``--save_config FILE``; what is to be done about it is the command's."""
    return click.Option(
        ["--save_config"],
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Save the options given, except those that belong to one node and the secret, to this file, and end.",
    )


def given(context: click.Context) -> dict[str, Any]:
    """The options that were given, on the command line or in a file, with their values."""
    sources = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    return {name: value for name, value in context.params.items() if context.get_parameter_source(name) in sources}


def save(file: Path, options: Mapping[str, Any]) -> None:
    """Write options, of which `str` of each value is what would be given for it; only their owner can read the file.

    Raises:
        ConfigError: The file cannot be written.
    """
    parser = configparser.ConfigParser(interpolation=None)
    for name, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        parser[_SECTION][name] = "\n".join(str(each) for each in values)
    text = io.StringIO()
    parser.write(text)
    # Under a name of its own first: whoever reads the file meanwhile finds all of the old or all of the new one.
    new = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        try:
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text.getvalue())
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot save the options to {file}: {error.strerror}") from None


def read(
    file: Path, context: click.Context, translate: Callable[[Mapping[str, str]], Mapping[str, str]] = dict
) -> dict[str, Any]:
    """The options in a file, by the names of the command's parameters, as `click.Context.default_map` takes them.

    Args:
        translate: See `config_option`.

    Raises:
        click.UsageError: It cannot be read, or the command does not take what it says.
    """
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text(encoding="utf-8"), str(file))
    except (OSError, ValueError, configparser.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise click.UsageError(f"cannot read the options in {file}: {reason}") from None
    if parser.sections():
        raise click.UsageError(f"{file}: options are in the section [{_SECTION}], not [{parser.sections()[0]}]")
    known = {parameter.name: parameter for parameter in context.command.params}
    found: dict[str, Any] = {}
    for name, text in translate(parser.defaults()).items():
        parameter = known.get(name)
        if parameter is None or name in ("config", "save_config"):
            raise click.UsageError(f"{file}: there is no option {name}")
        if not text:
            continue  # as if it were not there
        if name == "secret":
            raise click.UsageError(f"{file}: a secret is kept in a file of its own: name that one, as secret_file")
        value = [line for line in text.splitlines() if line] if parameter.multiple else text
        try:
            parameter.type_cast_value(context, value)
        except click.BadParameter as error:
            raise click.UsageError(f"{file}: {name}: {error.message}") from None
        found[name] = value
    return found
