import pytest

from greencoro.config import Settings
from greencoro.hub import process_settings as module
from greencoro.hub.process_settings import process_settings, use_settings


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    monkeypatch.setattr(module, "_given", None)
    yield
    process_settings.cache_clear()


def test_settings_are_those_of_the_environment_until_others_are_given(monkeypatch):
    monkeypatch.setenv("GREENCORO_TICK_SECONDS", "0.25")
    process_settings.cache_clear()
    assert process_settings().tick_seconds == 0.25
    given = Settings(tick_seconds=0.75)
    use_settings(given)
    assert process_settings() is given
