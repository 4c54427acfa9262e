import json

import pytest

from greencoro.compute.parts import (
    EMPTY,
    MAX_PARTS,
    DataFile,
    Definition,
    Entry,
    ModuleFile,
    Package,
    SourceText,
    digest_of,
)
from greencoro.errors import RemoteProtocolError


def definition(name="f", content=b"1"):
    return Definition("__main__", name, digest_of(content), content)


def package():
    return Package(
        [
            definition(),
            ModuleFile("a.b", True, ("a", "c"), digest_of(b"2"), b"2"),
            DataFile("d/e.txt", 0o644, digest_of(b""), b""),
            SourceText("f", "/at/the/client.py", 3, digest_of(b"f = 1"), b"f = 1"),
        ],
        "3.11",
    )


def wire(package):
    header, contents = package.to_wire()
    return json.loads(json.dumps(header)), contents


def test_a_package_survives_the_wire():
    header, contents = wire(package())
    back = Package.from_wire(header, [memoryview(c) for c in contents])
    assert (back.parts, back.python, back.digest) == (package().parts, "3.11", package().digest)


def test_what_is_known_travels_without_content_and_is_the_same_package():
    known = package().without({digest_of(b"1"), digest_of(b"other")})
    header, contents = wire(known)
    assert contents == [b"2", b"", b"f = 1"]
    back = Package.from_wire(header, contents)
    assert [part.content for part in back.parts] == [None, b"2", b"", b"f = 1"]
    assert back.digest == package().digest
    assert back.digests() == package().digests()


def test_a_package_with_another_content_has_another_digest():
    assert Package([definition(content=b"x")], "3.11").digest != Package([definition()], "3.11").digest


def test_of_parts_of_one_name_the_last_counts():
    merged = EMPTY.merged(Package([definition()], "3.11"), Package([definition(content=b"new")], "3.11"))
    assert [part.content for part in merged.parts] == [b"new"]


def test_nameless_definitions_stay_apart():
    assert len(Package([definition("", b"1"), definition("", b"2")], "3.11").parts) == 2


def test_a_module_knows_its_path():
    assert [part.path for part in package().parts[1:2]] == ["a/b/__init__.py"]
    assert ModuleFile("a.b", False, (), "", b"").path == "a/b.py"


def change(**fields):
    def apply(header, contents):
        header["parts"][0].update(fields)

    return apply


BROKEN = {
    "no dict": lambda h, c: h.__setitem__("parts", 3),
    "extra field": lambda h, c: h.__setitem__("more", 3),
    "python is a number": lambda h, c: h.__setitem__("python", 3),
    "part is no dict": lambda h, c: h["parts"].__setitem__(0, "x"),
    "unknown kind": change(kind="pickle"),
    "kind is a list": change(kind=["definition"]),
    "field of another kind": change(mode=1),
    "other module": change(module="os"),
    "name is no identifier": change(name="a.b"),
    "name is a number": change(name=3),
    "endless name": change(name="a" * 2000),
    "digest of something else": change(digest="0" * 64),
    "digest is no hexadecimal": change(digest="g" * 64),
    "digest is short": change(digest="00"),
    "size too large": change(size=2**63),
    "size is a bool": change(size=True),
    "size negative": change(size=-1),
    "content missing": lambda h, c: c.pop(),
    "content too many": lambda h, c: c.append(b""),
    "content changed": lambda h, c: c.__setitem__(0, b"9"),
    "listed twice": lambda h, c: (h["parts"].append(h["parts"][0]), c.append(b"1")),
    "module name is a path": lambda h, c: h["parts"][1].update(name="../a"),
    "imports are no names": lambda h, c: h["parts"][1].update(imports=[1]),
    "set-uid": lambda h, c: h["parts"][2].update(mode=0o4755),
    "mode is a bool": lambda h, c: h["parts"][2].update(mode=True),
    "source without a name": lambda h, c: h["parts"][3].update(name=""),
    "source before its file": lambda h, c: h["parts"][3].update(line=0),
    "source after a million lines": lambda h, c: h["parts"][3].update(line=2**31),
    "too many": lambda h, c: h["parts"].extend([h["parts"][0]] * MAX_PARTS),
}


@pytest.mark.parametrize("breaking", BROKEN)
def test_a_malformed_package_is_refused(breaking):
    header, contents = wire(package())
    BROKEN[breaking](header, contents)
    with pytest.raises(RemoteProtocolError):
        Package.from_wire(header, contents)


@pytest.mark.parametrize("header", [None, [], {}, {"parts": []}])
def test_what_is_no_header_is_refused(header):
    with pytest.raises(RemoteProtocolError):
        Package.from_wire(header, [])


@pytest.mark.parametrize("entry", [Entry("__main__", "Cls.f"), Entry("a.b", "f"), Entry("__main__", "", "0" * 64)])
def test_an_entry_survives_the_wire(entry):
    assert Entry.from_wire(json.loads(json.dumps(entry.to_wire()))) == entry


@pytest.mark.parametrize(
    "fields",
    [None, [], ["__main__", "f"], ["__main__", "", ""], ["a", "f", "0"], ["a/b", "f", ""], ["a", "f()", ""], [1, 2, 3]],
)
def test_a_malformed_entry_is_refused(fields):
    with pytest.raises(RemoteProtocolError):
        Entry.from_wire(fields)
