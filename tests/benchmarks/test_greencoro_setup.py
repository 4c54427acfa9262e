import pytest

from benchmarks import greencoro_setup
from greencoro.errors import AuthenticationError


@pytest.fixture
def own_directory(monkeypatch, tmp_path):
    monkeypatch.setattr(greencoro_setup.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("GREENCORO_SECRET_FILE", str(tmp_path / "secret"))


@pytest.mark.cluster
@pytest.mark.usefixtures("own_directory")
def test_a_runtime_with_tls_talks_to_its_like_and_to_none_without():
    greencoro_setup.make_certificate()
    with (
        greencoro_setup.runtime(tls=True) as inside,
        greencoro_setup.runtime(tls=True) as also_inside,
        greencoro_setup.runtime() as outside,
    ):
        assert also_inside.connect(str(inside.location)).location == inside.location
        with pytest.raises(AuthenticationError):
            outside.connect(str(inside.location), 10.0)


@pytest.mark.usefixtures("own_directory")
def test_a_runtime_is_on_loopback_and_looks_for_nobody():
    with greencoro_setup.runtime() as here:
        assert here.location.addr == "127.0.0.1"
        assert here.peers() == []
