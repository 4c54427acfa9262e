"""Rules about the source as a whole, held by reading it."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.source import PACKAGE, comparisons, files, imports, label, uses

# errors, config, log and _preload are one layer; within it each may use those before it.
RANK = {
    "_version": 0.0,
    "errors": 0.0,
    "config": 0.1,
    "log": 0.2,
    "_preload": 0.3,
    "hub": 1,
    "distributed": 2,
    "compute": 3,
    "monitor": 4,
    "legacy": 5,
    "testing": 5,
    "cli": 6,
}
PACKAGES = ("hub", "distributed", "compute", "monitor", "legacy", "cli")
ONLY = {"flask": "monitor"}  # third-party name -> its one home

# Code that decides and does nothing else: time and randomness come in as arguments.
PURE = {
    "errors.py",
    "hub/framing.py",
    "hub/instants.py",
    "hub/lifecycle.py",
    "hub/preemption_rules.py",
    "hub/supervision.py",
    "hub/waiting.py",
    "distributed/assembly.py",
    "distributed/connection.py",
    "distributed/control.py",
    "distributed/datagrams.py",
    "distributed/decoding.py",
    "distributed/discovery.py",
    "distributed/fields.py",
    "distributed/flow.py",
    "distributed/handshake.py",
    "distributed/handshake_states.py",
    "distributed/hello.py",
    "distributed/identity.py",
    "distributed/kinds.py",
    "distributed/link_states.py",
    "distributed/location.py",
    "distributed/membership.py",
    "distributed/messages.py",
    "distributed/noise.py",
    "distributed/outbox.py",
    "distributed/plain_names.py",
    "distributed/preamble.py",
    "distributed/peer_info.py",
    "distributed/presence.py",
    "distributed/record.py",
    "distributed/refs.py",
    "distributed/reports.py",
    "distributed/session.py",
    "distributed/transfer_plan.py",
    "distributed/transfer_words.py",
    "distributed/waiters.py",
    "cli/findings.py",
    "compute/avail_info.py",
    "compute/client_book.py",
    "compute/client_phase.py",
    "compute/client_state.py",
    "compute/client_vocabulary.py",
    "compute/client_words.py",
    "compute/filters.py",
    "compute/hook_functions.py",
    "compute/job.py",
    "compute/death.py",
    "compute/job_log.py",
    "compute/job_state.py",
    "compute/job_words.py",
    "compute/last_words.py",
    "compute/hours_watch.py",
    "compute/lease.py",
    "compute/lanes.py",
    "compute/lease_clock.py",
    "compute/limits.py",
    "compute/look_ahead.py",
    "compute/node_options.py",
    "compute/node_phase.py",
    "compute/node_report.py",
    "compute/node_state.py",
    "compute/node_vocabulary.py",
    "compute/node_words.py",
    "compute/output_book.py",
    "compute/parts.py",
    "compute/placement.py",
    "compute/progress.py",
    "compute/pulse_clock.py",
    "compute/requirements.py",
    "compute/scheduler_records.py",
    "compute/scheduler_report.py",
    "compute/scheduler_servers.py",
    "compute/scheduler_state.py",
    "compute/scheduler_vocabulary.py",
    "compute/server_pool.py",
    "compute/server_words.py",
    "compute/service_hours.py",
    "compute/shown.py",
    "compute/slots.py",
    "compute/status.py",
    "compute/terms.py",
    "compute/versions.py",
    "compute/words.py",
    "compute/zygote_state.py",
    "compute/zygote_words.py",
}
# Those to come, so that each is held to it from its first day.
PLANNED = {
    "monitor/view.py",
}
IMPURE = {
    "_thread",
    "asyncio",
    "gevent",
    "greenlet",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
# `Terminated` has to be a GreenletExit; importing greenlet starts nothing.
ALLOWED_IMPURE = {("errors.py", "greenlet")}

# S1: where bytes may become objects or code. Whoever adds a line here shows that only an authenticated peer reaches it.
OPENS = {
    "marshal.load",
    "marshal.loads",
    *(f"{module}.{name}" for module in ("pickle", "_pickle", "dill") for name in ("load", "loads", "Unpickler")),
    *("eval", "exec", "builtins.eval", "builtins.exec", "shelve.open"),
}
MAY_OPEN = {
    ("distributed/codec.py", "loads"),  # users' messages, in the process they are for
    # Shipped code and its arguments: only in a server process, for the holder of the computation's token.
    ("compute/loader.py", "Loader.load_arguments"),
    ("compute/loader.py", "Loader.load_scattered"),
    ("compute/loader.py", "Loader._run"),
    ("compute/loader.py", "_Unpickler"),
    ("compute/inline.py", "_Unpickler"),  # what was pickled a line before
    ("compute/rebuild.py", "new_code"),
    ("legacy/serialization.py", "deserialize"),  # a program's own bytes, which it opens itself
    ("legacy/exec_idiom.py", "_exec_in_caller"),  # a program's own call of exec
    ("hub/main_program.py", "run_as_main"),  # the program that the user named on the command line
}

ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
MAY_READ_ENVIRONMENT = {
    ("config.py", "Settings.from_env"),
    ("compute/child.py", "child_environment"),  # handed on whole, no setting is taken from it
    ("compute/server_process.py", "_confine"),  # written: the home of the account that jobs run under
}

WEAK_HASHES = {"md5", "sha1", "sha-1"}

# S12: what one of these words names is compared by `hmac.compare_digest`. A digest of a file is no secret, and a key is
# one in some modules only.
SECRETS = {"mac", "password", "proof", "psk", "secret", "tag", "token"}
HOLDERS_OF_KEYS = {
    f"distributed/{name}.py" for name in ("datagrams", "handshake", "noise", "reach", "secret", "session")
}
MAY_COMPARE = {
    ("compute/filters.py", "NodeFilter.refusal"),  # the tags of a node: words that describe it
}
# Chance that anybody may foresee: the pauses before a place is dialled again.
MAY_USE_RANDOM = {"distributed/dialling.py", "distributed/redial.py"}

FILES = files()
LAYERED = [p for p in FILES if p.parent != PACKAGE or p.stem in RANK]
MODULES = [p for p in FILES if p.parent != PACKAGE and p.name != "__init__.py"]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def listed(package: str) -> list[str]:
    """The modules that the package's docstring lists, in its order."""
    docstring = ast.get_docstring(tree(PACKAGE / package / "__init__.py")) or ""
    return re.findall(r"^- (\w+): \S", docstring, re.MULTILINE)


def present(package: str) -> list[str]:
    """The package's modules and packages."""
    inside = [p for p in (PACKAGE / package).iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    return [p.stem for p in inside if p.name not in ("__init__.py", "__main__.py")]


@pytest.mark.parametrize("path", LAYERED, ids=label)
def test_imports_point_downwards(path):
    here = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imports(tree(path), path):
        top, _, rest = name.partition(".")
        if top == "greencoro":
            there = rest.partition(".")[0]
            assert there in RANK, f"import {name} from the module that defines it"
            assert there == here or RANK[there] < RANK[here], f"{here} may not import {name}"
        assert ONLY.get(top, here) == here, f"only {ONLY.get(top)} may import {top}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_lists_its_modules(package):
    assert sorted(listed(package)) == sorted(present(package)), f"see the docstring of greencoro/{package}/__init__.py"


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_a_module_uses_only_those_listed_above_it(path):
    package, here = path.relative_to(PACKAGE).with_suffix("").parts[:2]
    order = listed(package)
    for name in imports(tree(path), path, type_checking=False):
        # Through a package's name (`from greencoro.hub import native`) or through the module's.
        match = re.match(rf"greencoro\.{package}\.(\w+)", name)
        if match and match[1] != here and here in order:
            assert match[1] in order[: order.index(here)], f"{here} stands above {match[1]} in greencoro/{package}"


def test_the_pure_modules_are_all_there_and_planned_ones_are_listed_once_they_are():
    there = {label(path) for path in FILES}
    assert sorted(PURE - there) == []
    assert sorted(PLANNED & there) == [], "move it to PURE"


@pytest.mark.parametrize("path", [p for p in FILES if label(p) in PURE], ids=label)
def test_a_pure_module_imports_nothing_impure(path):
    for name in imports(tree(path), path):
        top = name.partition(".")[0]
        if top == "greencoro":
            modules = (name, name.rpartition(".")[0])
            pure = any(module.removeprefix("greencoro.").replace(".", "/") + ".py" in PURE for module in modules)
            assert pure, f"{name} is not pure"
        assert top not in IMPURE or (label(path), top) in ALLOWED_IMPURE, f"imports {name}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_S1_bytes_become_objects_or_code_only_where_allowed(path):
    found = {where for where, name in uses(tree(path)) if name in OPENS}
    assert found == {where for file, where in MAY_OPEN if file == label(path)}


@pytest.mark.parametrize("path", FILES, ids=label)
def test_S12_no_weak_hash_is_used(path):
    for node in ast.walk(tree(path)):
        words = [getattr(node, field, None) for field in ("id", "attr", "name", "value")]
        for word in words:
            assert not isinstance(word, str) or word.lower() not in WEAK_HASHES, f"line {node.lineno}: {word}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_S12_secrets_are_compared_in_constant_time(path):
    words = SECRETS | ({"key"} if label(path) in HOLDERS_OF_KEYS else set())
    found = {where for where, names in comparisons(tree(path)) if names & words}
    allowed = {where for file, where in MAY_COMPARE if file == label(path)}
    assert found == allowed, "use hmac.compare_digest"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_S12_what_nobody_may_guess_comes_from_the_system(path):
    by_chance = {"random", "uuid"} & {name.partition(".")[0] for name in imports(tree(path), path)}
    assert bool(by_chance) == (label(path) in MAY_USE_RANDOM), "use secrets or os.urandom"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_only_the_settings_read_the_environment(path):
    found = {
        (label(path), where)
        for where, name in uses(tree(path))
        if any(f"{name}.".startswith(f"{e}.") for e in ENVIRONMENT)
    }
    assert found <= MAY_READ_ENVIRONMENT
