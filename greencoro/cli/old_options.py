"""Options as the programs ``discoronode.py`` and ``discoro.py`` had them before, beside those of today."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence

import click

from greencoro.cli.saved_config import config_option
from greencoro.config import Settings

__all__ = ["CLEAN", "CONFIG", "MSG_TIMEOUT", "as_given_today"]

#: Heartbeats tell today whether a message can arrive.
MSG_TIMEOUT = click.Option(
    ["--msg_timeout"],
    type=click.FloatRange(min=1),
    expose_value=False,
    metavar="S",
    help="Accepted, and without effect.",
)
#: What a scheduler keeps is its own, and removed with it.
CLEAN = click.Option(["--clean"], is_flag=True, expose_value=False, help="Accepted, and without effect.")

_NAMES = {"node": "ip_addr", "peers": "peer", "loglevel": "debug"}
_WITHOUT_EFFECT = frozenset({"config", "msg_timeout", "save_config"})
#: What an option had where it was not given.
_NOT_GIVEN = frozenset({"", "None", "[]"})


def _of_old(saved: Mapping[str, str]) -> dict[str, str]:
    """What a file of before says, as one of today says it."""
    found = {}
    for name, text in saved.items():
        if name in _WITHOUT_EFFECT or text in _NOT_GIVEN or (name == "ping_interval" and _is_zero(text)):
            continue
        found[_NAMES.get(name, name)] = "\n".join(_listed(text)) if text.startswith("[") else text
    return found


#: ``--config``, for files of before as well.
CONFIG = config_option(_of_old)


def _listed(text: str) -> Iterable[str]:
    try:
        value = ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return [text]  # it will be said what is wrong with it
    return map(str, value) if isinstance(value, list) else [text]


def _is_zero(text: str) -> bool:
    try:
        return float(text) == 0
    except ValueError:
        return False


def as_given_today(program: str, options: Iterable[click.Option], arguments: Sequence[str]) -> list[str]:
    """The arguments without what meant nothing: an option with an empty value, ``--ping_interval 0``.

    That an empty secret is the user's own is said.
    """
    takers = {flag: each for each in options if not each.is_flag and not each.multiple for flag in each.opts}
    found: list[str] = []
    rest = iter(arguments)
    for word in rest:
        flag, equals, text = word.partition("=")
        option = takers.get(flag) if equals and flag.startswith("--") else takers.get(word)
        if option is None:
            found.append(word)
            continue
        words = [word]
        if not equals:
            following = next(rest, None)
            if following is not None:
                words.append(following)
            text = "" if following == "" else following or "?"
        if text == "":
            if option.name == "secret":
                _tell_of_secret(program)
        elif not (option.name == "ping_interval" and _is_zero(text)):
            found += words
    return found


def _tell_of_secret(program: str) -> None:
    place = Settings.from_env().secret_path
    click.echo(
        f"{program}: without a secret of its own it has that of this user; machines that are to work together need the "
        f"same file: {place}",
        err=True,
    )
