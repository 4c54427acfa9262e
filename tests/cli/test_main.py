from greencoro import __version__
from greencoro.cli import main


def test_version_is_told(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.split() == ["greencoro,", "version", __version__]
