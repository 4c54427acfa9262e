import pytest

from benchmarks import file

MIB = 1 << 20


@pytest.fixture
def on_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(file.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_each_file_is_as_big_as_asked_for_and_alone_in_its_directory(on_disk):
    small, big = file._files(20, on_disk=True)
    assert [path.stat().st_size for path in (small, big)] == [2 * MIB, 20 * MIB]
    assert [list(path.parent.iterdir()) for path in (small, big)] == [[small], [big]]
    assert on_disk in big.parents


def test_a_copy_that_is_the_same_passes(on_disk):
    _, big = file._files(3, on_disk=True)
    copy = on_disk / "copy"
    copy.write_bytes(big.read_bytes())
    file._check(big, copy)


@pytest.mark.parametrize(
    "change",
    [lambda content: content[MIB:], lambda content: content[:-1] + bytes([content[-1] ^ 1])],
    ids=["shorter", "with another end"],
)
def test_a_copy_that_is_not_the_same_is_refused(on_disk, change):
    _, big = file._files(3, on_disk=True)
    copy = on_disk / "copy"
    copy.write_bytes(change(big.read_bytes()))
    with pytest.raises(AssertionError, match="is not"):
        file._check(big, copy)


def test_the_figure_is_megabytes_of_a_million_bytes_a_second():
    measurement = file.Measurement(1000)
    measurement.seconds = 0.5
    assert file._sample(measurement).figure == pytest.approx(2097.152)
