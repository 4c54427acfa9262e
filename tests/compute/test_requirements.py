import packaging.specifiers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from greencoro.compute.requirements import Requirement, differences, lacking, normalized, parse_requirements
from tests.compute.test_versions import VERSIONS

HERE = {"numpy": "2.1.3", "scikit-learn": "1.5.0"}


@pytest.mark.parametrize(
    ("requirement", "met", "not_met"),
    [
        ("numpy", ["0.1", "99", "not a version"], []),
        ("numpy>=2,<3", ["2", "2.0.0", "2.9.9", "2.1rc1"], ["1.26", "2.0rc1", "3.0", "3.0.dev1", "not a version"]),
        ("numpy == 2.1", ["2.1", "2.1.0", "2.1+local"], ["2.1.1", "2.1rc1", "2.1.post1"]),
        ("numpy==2.1.*", ["2.1", "2.1.9", "2.1rc1"], ["2.10", "2.2", "1!2.1"]),
        ("numpy==2.0.*", ["2", "2.0.5"], ["2.1"]),
        ("numpy!=2.1.*", ["2.2", "2.10"], ["2.1", "2.1.4"]),
        ("numpy!=2.1", ["2.1.1"], ["2.1.0"]),
        ("numpy~=2.1", ["2.1", "2.9"], ["2.0", "3.0"]),
        ("numpy~=2.1.2", ["2.1.2", "2.1.9"], ["2.1.1", "2.2"]),
        ("numpy~=2.0", ["2.0", "2.5"], ["3.0", "1.9"]),
        ("numpy>2.1", ["2.1.1", "2.2"], ["2.1", "2.1.post1"]),
        ("numpy<2.1rc2", ["2.1rc1", "2.1.dev1", "2.0"], ["2.1rc2", "2.1"]),
        ("numpy<2.1.post1", ["2.1", "2.1rc1"], ["2.1.post1.dev1", "2.1.post1"]),
        ("numpy>2.1rc1", ["2.1", "2.1rc2", "2.1.post1"], ["2.1rc1", "2.1rc1.post1"]),
        ("numpy>2.1.post1", ["2.1.post2", "2.2"], ["2.1", "2.1.post1"]),
        ("numpy<=2.1", ["2.1", "2.1rc1", "1.0"], ["2.1.1"]),
        (" numpy >= 1.26 , != 2.0 ", ["1.26", "2.1"], ["2.0", "1.25"]),
    ],
)
def test_conditions(requirement, met, not_met):
    parsed = Requirement.parse(requirement)
    assert [version for version in met if not parsed.is_met_by(version)] == []
    assert [version for version in not_met if parsed.is_met_by(version)] == []


# What < and > say of pre-releases and post-releases themselves differs between releases of that implementation.
CONDITIONS = (
    st.builds(str.__add__, st.sampled_from(["==", "!=", ">=", "<="]), VERSIONS)
    | st.builds(str.__add__, st.sampled_from(["<", ">"]), st.sampled_from(["0", "1", "1.0", "1.1", "2.0.0", "1!0"]))
    | st.sampled_from(["~=1.0", "~=1.1.0", "~=1.1a1", "==1.*", "==1.0.*", "!=1.1.*", "==1!0.*"])
)


@given(CONDITIONS, VERSIONS)
def test_conditions_are_those_of_another_implementation(condition, version):
    theirs = packaging.specifiers.SpecifierSet(condition).contains(version, prereleases=True)
    assert Requirement.parse(f"x{condition}").is_met_by(version) is theirs


def test_an_absent_package_is_named_with_the_clients_version():
    assert lacking(parse_requirements(["numpy"]), HERE, {}, "at node b") == ["numpy 2.1.3 here, absent at node b"]


def test_a_version_that_will_not_do_is_named_with_what_is_wanted():
    wanted = parse_requirements(["numpy>=2,<3"])
    assert lacking(wanted, HERE, {"numpy": "1.26.4"}, "at node b") == [
        "numpy 2.1.3 here, 1.26.4 at node b, where numpy>=2,<3 is wanted"
    ]


def test_a_package_that_the_client_has_not_is_named():
    assert lacking(parse_requirements(["torch"]), HERE, {}, "at node b") == [
        "torch not installed here, absent at node b"
    ]


def test_a_server_that_has_everything_lacks_nothing():
    wanted = parse_requirements(["numpy", "Scikit_Learn>=1.4"])
    assert lacking(wanted, HERE, {"numpy": "1.0", "scikit-learn": "1.4.2"}) == []


def test_each_requirement_has_its_sentence_in_their_order():
    wanted = parse_requirements(["b", "numpy", "a"])
    assert [sentence.split()[0] for sentence in lacking(wanted, HERE, {})] == ["b", "numpy", "a"]


@pytest.mark.parametrize(
    ("there", "differs"),
    [("2.1.0", False), ("2.1", False), ("2.0.5", True), ("1!2.1.3", True), ("2.10.3", True), ("odd", True)],
)
def test_another_minor_version_of_a_plain_name_is_told(there, differs):
    told = differences(parse_requirements(["numpy"]), HERE, {"numpy": there}, "at node b")
    assert told == ([f"numpy 2.1.3 here, {there} at node b"] if differs else [])


def test_another_minor_version_is_not_told_where_there_are_conditions_or_one_side_has_none():
    assert differences(parse_requirements(["numpy>=1"]), HERE, {"numpy": "1.0"}) == []
    assert differences(parse_requirements(["numpy"]), HERE, {}) == []
    assert differences(parse_requirements(["torch"]), HERE, {"torch": "2.0"}) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no package"),
        (">=2", "names no package"),
        ("-numpy", "names no package"),
        ("numpy 2", "'2' is no condition"),
        ("numpy>=", "'>=' is no condition"),
        ("numpy>=2,", "'' is no condition"),
        ("numpy>=two", "'two' is no version"),
        ("numpy>=2.*", "'2.*' is no version"),
        ("numpy==2rc1.*", "'.*' follows the numbers"),
        ("numpy~=2", "two numbers or more"),
        ("numpy===2.1", "'===' is not checked"),
        ("numpy[extra]>=2", "is no condition"),
        ("numpy; python_version<'3.12'", "is no condition"),
        ("numpy @ https://example.org/numpy.whl", "is no condition"),
        ("n" * 1001, "names no package"),
    ],
)
def test_what_is_no_requirement_is_refused(text, says):
    with pytest.raises(ValueError) as caught:
        parse_requirements(["scipy", text])
    assert says in str(caught.value)


@pytest.mark.parametrize("texts", ["numpy", 5, None, [b"numpy"], [None]])
def test_what_is_no_list_of_texts_is_refused(texts):
    with pytest.raises(TypeError, match="such as 'numpy>=2'"):
        parse_requirements(texts)


def test_requirements_are_bounded():
    with pytest.raises(ValueError, match="1001 requirements"):
        parse_requirements(["a"] * 1001)


def test_spellings_of_a_name():
    assert {normalized(name) for name in ("Scikit_Learn", "scikit-learn", "SCIKIT.__LEARN")} == {"scikit-learn"}


def test_a_requirement_is_shown_as_it_is_written():
    assert str(Requirement.parse("Numpy >=2 , <3")) == "Numpy>=2,<3"
