from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from ssld import cli, commands
from ssld.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def failing(monkeypatch):
    """Makes `ssld train` raise."""
    def fail(error):
        from ssld.commands import train

        def run(args):
            raise error
        monkeypatch.setattr(train, "run", run)
    return fail


def test_what_the_user_can_mend_is_one_paragraph_and_exit_status_2(capsys, tmp_path):
    assert cli.main(["train", "-c", str(tmp_path / "gone.yaml")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("ssld train: error: ") and "gone.yaml" in said.err and not said.out
    assert "Traceback" not in said.err and "\n\n" not in said.err and said.err.endswith("\n")


def test_every_other_exception_keeps_its_traceback(failing):
    failing(RuntimeError("a fault of the program"))
    with pytest.raises(RuntimeError, match="a fault of the program"):
        cli.main(["train", "-c", "x.yaml"])


def test_a_value_error_that_is_no_input_error_is_a_fault_of_the_program(failing):
    failing(ValueError("not the user's"))
    with pytest.raises(ValueError, match="not the user's"):
        cli.main(["train", "-c", "x.yaml"])


def test_developers_may_ask_for_the_traceback(failing, monkeypatch):
    failing(InputError("mendable"))
    monkeypatch.setenv("SSLD_TRACEBACK", "1")
    with pytest.raises(InputError, match="mendable"):
        cli.main(["train", "-c", "x.yaml"])


def test_an_interrupted_command_says_how_to_go_on(failing, capsys):
    failing(KeyboardInterrupt())
    assert cli.main(["train", "-c", "x.yaml"]) == 130
    assert "goes on from the last checkpoint" in capsys.readouterr().err


def test_help_lists_every_command_with_its_first_line(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert stopped.value.code == 0
    for info in pkgutil.iter_modules(commands.__path__):
        module = __import__(f"ssld.commands.{info.name}", fromlist=["x"])
        assert f"{info.name.replace('_', '-')} {module.__doc__.strip().splitlines()[0]}" in text


@pytest.mark.parametrize("command", [info.name.replace("_", "-") for info in pkgutil.iter_modules(commands.__path__)])
def test_the_help_of_a_command_shows_an_example(capsys, command):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert "Example" in text and f"ssld {command} " in text


@pytest.mark.parametrize("arguments", [[], ["trian"], ["train"], ["train", "-c"]])
def test_a_wrong_command_line_is_exit_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2 and "usage: ssld" in capsys.readouterr().err


def test_help_answers_without_importing_paddle():
    code = "import sys; from ssld import cli; cli.build_parser(); sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_a_script_in_tools_is_the_command_of_its_name(tmp_path):
    done = subprocess.run([sys.executable, ROOT / "tools" / "train.py", "-c", "gone.yaml"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.returncode == 2 and "ssld train: error: gone.yaml cannot be read" in done.stderr
