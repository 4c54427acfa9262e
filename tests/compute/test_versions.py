import packaging.version
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute.versions import Version

# As PEP 440 orders them; those in one group are equal.
ORDER = [
    ["1.0.dev1", "1.dev1", "1.0-dev1", "1.0.DEV1"],
    ["1.0a1.dev2"],
    ["1.0a1", "1.0.alpha-1", "1.0A1"],
    ["1.0a2"],
    ["1.0b1", "1.0.beta1"],
    ["1.0rc1", "1.0c1", "1.0pre1", "1.0-preview_1"],
    ["1.0", "1", "1.0.0", "v1.0", "1.0+cu118", " 1.0 "],
    ["1.0.post1.dev1"],
    ["1.0.post1", "1.0-1", "1.0rev1"],
    ["1.0.1"],
    ["1.2"],
    ["1.10"],
    ["1!0.1"],
]


def test_versions_are_ordered():
    for number, group in enumerate(ORDER):
        for text in group:
            assert Version.parse(text) == Version.parse(group[0]), text
            for later in ORDER[number + 1 :]:
                assert Version.parse(text) < Version.parse(later[0]), (text, later[0])


@pytest.mark.parametrize(
    "text", ["", "numpy", "1.", ".1", "1..0", "1.0x", "1.0 beta", "\u0661.0", "1" * 201, "1.0+", "1.0po\u017ft1"]
)
def test_what_is_no_version_is_refused(text):
    with pytest.raises(ValueError, match="is no version"):
        Version.parse(text)


def test_what_is_before_its_release():
    for text in ("1.0.dev1", "1.0a1", "1.0rc2", "1.0.post1.dev1"):
        assert Version.parse(text).is_before_its_release(), text
    for text in ("1.0", "1.0.post1"):
        assert not Version.parse(text).is_before_its_release(), text


VERSIONS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["0", "1", "1.0", "1.1", "1.10", "2.0.0", "1!0"]),
    st.sampled_from(["", "a0", "a", "b2", "rc1"]),
    st.sampled_from(["", ".post0", ".post", "-2"]),
    st.sampled_from(["", ".dev0", ".dev3"]),
)


@given(VERSIONS, VERSIONS)
def test_the_order_is_that_of_another_implementation(one, other):
    theirs = packaging.version.Version(one), packaging.version.Version(other)
    assert (Version.parse(one) < Version.parse(other)) is (theirs[0] < theirs[1])
    assert (Version.parse(one) == Version.parse(other)) is (theirs[0] == theirs[1])
