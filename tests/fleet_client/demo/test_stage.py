"""The story is told in lines that a log keeps, and live on a terminal."""

import io

import pytest

from fleet_client.demo.stage import PlainStage, TerminalStage, open_stage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_gets_plain_lines_with_seconds_and_no_colours() -> None:
    stream = io.StringIO()
    stage = open_stage(stream)
    assert isinstance(stage, PlainStage)
    with stage.step("Start a hub"):
        stage.note("waiting")
        stage.say("It is up [at last].", "bold")
    first, second = stream.getvalue().splitlines()
    assert first.split("s  ", 1)[1] == "1. Start a hub"
    assert second.split("s  ", 1)[1] == "   It is up [at last]."


def test_a_long_wait_is_noted_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("fleet_client.demo.stage.time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    stage = PlainStage(stream)
    with stage.step("Wait"):
        for tenth in range(120):
            clock[0] = tenth / 10
            stage.note(f"{tenth // 10} records")
    assert [line.split("... ")[1] for line in stream.getvalue().splitlines()[1:]] == ["5 records", "10 records"]


def test_a_terminal_gets_text_as_it_is_brackets_and_all() -> None:
    stream = Terminal()
    stage = open_stage(stream)
    assert isinstance(stage, TerminalStage)
    with stage.step("Roll out"):
        stage.note("one canary " * 50)
        stage.say("[bold]Not a style[/] [artifact-missing]", "red")
    told = stream.getvalue()
    assert "[bold]Not a style[/] [artifact-missing]" in told
    assert "…" in told, "a note is one line"


def test_a_step_that_fails_leaves_no_spinner_behind() -> None:
    stream = Terminal()
    stage = TerminalStage(stream)
    with pytest.raises(ValueError, match="broken"), stage.step("Break"):
        raise ValueError("broken")
    stage.note("nobody is waited for")
    stage.say("The demo failed.")
    assert stream.getvalue().rstrip().endswith("The demo failed.")
