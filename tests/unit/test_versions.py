"""Version specifiers and markers, as the `packaging` library understands them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement as Reference
from packaging.specifiers import SpecifierSet
from packaging.version import Version as ReferenceVersion

from paddock.versions import Requirement, Version

numbers = st.integers(0, 12).map(str)
releases = st.lists(numbers, min_size=1, max_size=4).map(".".join)
suffixes = st.sampled_from(["", "a1", "b2", "rc1", ".post1", ".dev3", "rc1.dev2", ".post2.dev1", "+cpu", "-1"])
versions = st.builds(str.__add__, releases, suffixes)
plain_versions = versions.filter(lambda version: "+" not in version)
specifiers = st.one_of(
    st.builds(str.__add__, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), plain_versions),
    st.builds(lambda compare, release: f"{compare}{release}.*", st.sampled_from(["==", "!="]), releases),
    st.builds(lambda release, last: f"~={release}.{last}", releases, numbers),
)


@given(versions, versions)
def test_versions_are_ordered_as_packaging_orders_them(left: str, right: str) -> None:
    expected = ReferenceVersion(ReferenceVersion(left).public) < ReferenceVersion(ReferenceVersion(right).public)

    assert (Version.parse(left).key < Version.parse(right).key) == expected


@given(plain_versions, st.lists(specifiers, max_size=3).map(",".join))
def test_specifiers_allow_what_packaging_allows(version: str, specifier: str) -> None:
    requirement = Requirement.parse(f"thing {specifier}")

    assert requirement.allows(version) == SpecifierSet(specifier).contains(version, prereleases=True)


@pytest.mark.parametrize(
    "line",
    [
        "h11>=0.8",
        "click >=7.0",
        "typing-extensions>=4.0; python_version < '3.11'",
        "httptools>=0.8.0; extra == 'standard'",
        "uvloop>=0.15.1; (sys_platform != 'win32' and (sys_platform != 'cygwin')) and extra == 'standard'",
        "colorama>=0.4; sys_platform == 'win32' and extra == 'standard'",
        "websockets (>=13.0) ; extra == 'standard'",
        "uvicorn[standard]<1,>=0.54",
        "a; platform_python_implementation == 'PyPy' or os_name == 'posix'",
        "b; 'linux' in sys_platform",
        "c; python_full_version >= '3.11.0rc1'",
        "d; platform_machine not in 'arm64 aarch64'",
    ],
)
@pytest.mark.parametrize("extra", ["", "standard"])
def test_requirements_are_read_as_packaging_reads_them(line: str, extra: str) -> None:
    ours, reference = Requirement.parse(line), Reference(line)

    assert ours.name == reference.name
    assert ours.extras == reference.extras
    assert sorted(ours.specifier.split(",")) == sorted(str(reference.specifier).split(","))
    assert ours.applies(extra) == (reference.marker is None or reference.marker.evaluate({"extra": extra}))


@pytest.mark.parametrize("line", ["", ">=1", "thing @ https://example.org/thing.whl", "thing; never"])
def test_what_is_no_requirement_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"no (requirement|marker)"):
        Requirement.parse(line).applies("")


@pytest.mark.parametrize("version", ["", "1..2", "2004d", "unknown"])
def test_a_version_from_before_pep_440_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="no version"):
        Version.parse(version)
