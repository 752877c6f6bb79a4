"""Every command against a hub's API: what it asks, what it prints, how it ends."""

import json
import os
import pwd
from pathlib import Path

import pytest

from fleet_client.cli.main import main
from tests.fakes.hub import Answer, Asked, FakeHub, problem
from tests.fleet_client.documents import AT, because, device, page, rollout, version
from tests.fleet_client.test_built import make_folder

Captured = pytest.CaptureFixture[str]


def test_devices_are_tab_separated_when_piped(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/devices", page(device("press-07"), device("press-08", presence="silent")))
    assert main(["devices", "list", "lyon", "--label", "site=lyon", "--presence", "online", "--running", "2"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split("\t")[:2] == ["device", "presence"]
    assert first.split("\t")[0] == "press-07"
    assert "digits 2" in first.split("\t")
    assert second.split("\t")[1] == "silent"
    assert hub.asked[0].query == {
        "q": ["lyon"],
        "label": ["site=lyon"],
        "presence": ["online"],
        "version": ["2"],
        "limit": ["100"],
    }


def test_json_is_what_the_api_says(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/devices", page(device("press-07")))
    assert main(["devices", "list", "-o", "json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["id"] == "press-07"
    assert one["models"][0]["running"]["version"] == 2


def test_a_list_that_is_cut_says_so_and_how_to_see_all(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/devices", page(device("a"), total=70_000, next_cursor="more"))
    assert main(["devices", "list", "--limit", "1"]) == 0
    assert "1 of 70000 devices; --limit 70000" in capsys.readouterr().err


def test_a_limit_above_a_page_asks_for_more_pages(hub: FakeHub, capsys: Captured) -> None:
    def pages(asked: Asked) -> Answer:
        size = int(asked.query["limit"][0])
        return Answer(page(*(device(f"d{n}") for n in range(size)), total=9_999, next_cursor="more"))

    hub.on("GET /api/v1/devices", pages)
    assert main(["devices", "list", "--limit", "700", "-o", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 700
    assert [one.query["limit"] for one in hub.asked] == [["500"], ["200"]]


def test_a_history_that_is_longer_than_a_page_is_read_as_far_as_asked(hub: FakeHub, capsys: Captured) -> None:
    def pages(asked: Asked) -> Answer:
        first = "cursor" not in asked.query
        numbers = range(600, 100, -1) if first else range(100, 98, -1)
        made = [
            {"number": n, "at": AT, "state": "running", "wave": 0, "because": because("soaking", "It soaks.")}
            for n in numbers
        ]
        return Answer(page(*made, total=600, next_cursor="more"))

    hub.on("GET /api/v1/rollouts/r1/decisions", pages)
    assert main(["rollouts", "decisions", "r1", "--limit", "502"]) == 0
    told = capsys.readouterr()
    assert [line.split("\t")[0] for line in told.out.splitlines()][-1] == "99"
    assert "502 of 600 decisions; --limit 600 shows all." in told.err
    assert [one.query["limit"] for one in hub.asked] == [["500"], ["2"]]


def test_one_device_is_shown_with_its_reasons(hub: FakeHub, capsys: Captured) -> None:
    refused = because("signature-wrong", "Signed by nobody we trust.")
    hub.on("GET /api/v1/devices/press-07", device(refused=refused, troubles=[because("disk-full", "0 bytes free.")]))
    assert main(["devices", "show", "press-07"]) == 0
    out = capsys.readouterr().out
    assert "Signed by nobody we trust. [signature-wrong]" in out
    assert "0 bytes free. [disk-full]" in out
    assert "On trial, 0 of 50 records failed. [trial-passed]" in out
    assert "2 windows wait" in out


def test_what_a_device_has_captured_is_told_where_it_captures(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/devices/press-07", device())
    assert main(["devices", "show", "press-07"]) == 0
    assert "captures" not in capsys.readouterr().out
    captures = {"files": 12, "size_bytes": 49_152, "dropped": {"quota": 3, "behind": 1}}
    hub.on("GET /api/v1/devices/press-08", device("press-08", captures=captures))
    assert main(["devices", "show", "press-08"]) == 0
    out = capsys.readouterr().out
    assert "12 inputs are kept" in out
    assert "3 dropped (quota), 1 dropped (behind)" in out


def test_what_a_device_says_orders_no_terminal_about(hub: FakeHub, capsys: Captured) -> None:
    captures = {"files": 1, "size_bytes": 4096, "dropped": {"\x1b[2Jquota": 3}}
    hub.on("GET /api/v1/devices/press-07", device(captures=captures, hostname="press\x1b]0;mine\x07"))
    assert main(["devices", "show", "press-07"]) == 0
    out = capsys.readouterr().out
    assert "3 dropped (?[2Jquota)" in out
    assert "press?]0;mine?" in out
    assert "\x1b" not in out


def test_a_token_alone_is_printed_when_piped(hub: FakeHub, capsys: Captured) -> None:
    hub.on("POST /api/v1/devices/tokens", Answer({"token": "vdt1.abc", "expires_at": AT}, 201))
    assert main(["devices", "token", "press-07", "-l", "site=lyon", "--target", "cpu-vnni", "--expires-in", "0.5"]) == 0
    assert capsys.readouterr().out == "vdt1.abc\n"
    assert hub.asked[0].json == {
        "device": "press-07",
        "labels": {"site": "lyon"},
        "target": "cpu-vnni",
        "expires_in_seconds": 1800,
    }


def test_labels_are_set_and_taken_away(hub: FakeHub, capsys: Captured) -> None:
    hub.on("PATCH /api/v1/devices/press-07", device())
    assert main(["devices", "label", "press-07", "site=lyon", "line-"]) == 0
    assert hub.asked[0].json == {"labels": {"line": None, "site": "lyon"}}
    assert "site=lyon" in capsys.readouterr().out


def test_a_device_is_told_to_try_again_what_it_rejected(hub: FakeHub, capsys: Captured) -> None:
    told = {"device": "press-07", "model": "digits", "slot": "shadow", "version": 2, "generation": 8}
    hub.on("POST /api/v1/devices/press-07/models/digits/retry", told)
    assert main(["devices", "retry", "press-07", "digits", "--slot", "shadow"]) == 0
    assert hub.asked[0].json == {"slot": "shadow"}
    assert "told to try digits version 2 again (desired state 8)" in capsys.readouterr().out


def test_a_shadow_is_rolled_out_and_its_agreement_shown(hub: FakeHub, capsys: Captured) -> None:
    seen = {"treated": {"records": 50, "compared": 40, "agreement": 0.975}}
    hub.on("POST /api/v1/rollouts", Answer(rollout(slot="shadow", evidence=seen), 201))
    assert main(["rollouts", "create", "digits", "2", "--shadow"]) == 0
    assert hub.asked[0].json["slot"] == "shadow"
    out = capsys.readouterr().out
    assert "digits version 2, as a shadow" in out
    assert "97.5% of 40 records, with the version that answered" in out


def test_how_many_labelled_records_were_right_is_shown_beside_the_others(hub: FakeHub, capsys: Captured) -> None:
    seen = {"treated": {"labelled": 40, "accuracy": 0.975}, "control": {"labelled": 400, "accuracy": 0.9625}}
    hub.on("GET /api/v1/rollouts/r1", rollout(evidence=seen))
    assert main(["rollouts", "show", "r1"]) == 0
    assert "97.5% of 40 by this version, 96.2% of 400 by others" in capsys.readouterr().out


def test_labels_that_arrived_late_are_told_from_a_file(hub: FakeHub, capsys: Captured, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(
        "device,version,labelled,correct,from,until\npress-07,2,9,8,2026-11-27T10:00:00Z,2026-11-27T11:00:00Z\n"
    )
    for told, said in (({"counted": 1}, "Rows counted: 1."), ({"counted": 0, "repeated": 1}, "Nothing is counted")):
        hub.on("POST /api/v1/models/digits/labels", told)
        assert main(["models", "label", "digits", str(file)]) == 0
        assert said in capsys.readouterr().out
    (row,) = hub.asked[0].json["rows"]
    assert (row["device"], row["correct"], row["from"]) == ("press-07", 8, "2026-11-27T10:00:00Z")
    keys = {one.headers["Idempotency-Key"] for one in hub.asked}
    assert len(keys) == 1, "the same file is the same request"


def test_events_are_listed_with_their_reasons(hub: FakeHub, capsys: Captured) -> None:
    event = {"number": 3, "at": AT, "kind": "phase", "model": "digits", "phase": "rejected", "version": 2}
    hub.on("GET /api/v1/devices/press-07/events", page({**event, "because": because("golden-failed", "60 % agree.")}))
    assert main(["devices", "events", "press-07"]) == 0
    assert "rejected\tdigits\t2\t60 % agree. [golden-failed]" in capsys.readouterr().out


def test_models_and_versions_are_listed(hub: FakeHub, capsys: Captured) -> None:
    model = {"name": "digits", "created_at": AT, "newest_version": 2, "versions": 2, "task": "x", "targets": ["a", "b"]}
    hub.on("GET /api/v1/models", page(model))
    hub.on("GET /api/v1/models/digits/versions", page(version(2, notes="better"), version(1)))
    hub.on("GET /api/v1/models/digits/versions/2", version(2, notes="better"))
    assert main(["models", "list"]) == 0
    assert main(["models", "show", "digits"]) == 0
    assert main(["models", "show", "digits", "2"]) == 0
    out = capsys.readouterr().out
    assert "digits\t2\t2\tx\ta, b" in out
    assert "2\t2026-11-22 20:00\tcpu-vnni\t0.9796\t0.9800\t22.3 kB\tbetter" in out
    assert "sha256:abab" in out


def test_a_built_folder_is_registered(hub: FakeHub, capsys: Captured, tmp_path: Path) -> None:
    from fleet_client import built

    folder = make_folder(tmp_path / "digits", ("cpu-vnni",))
    for file in built.read(folder).files:
        hub.on(f"PUT /api/v1/blobs/{file.digest}", Answer({}, 201))
    hub.on("POST /api/v1/models/digits/versions", Answer(version(3), 201))
    assert main(["models", "register", str(folder), "--notes", "more scans"]) == 0
    assert "Registered digits version 3." in capsys.readouterr().out
    assert hub.asked[-1].json["notes"] == "more scans"


def test_a_rollout_is_created_with_the_policy_that_was_given(hub: FakeHub, capsys: Captured) -> None:
    hub.on("POST /api/v1/rollouts", Answer(rollout(), 201))
    given = ["--wave", "1", "--wave", "100%", "--soak", "5", "--minimum-records", "50", "-l", "site=lyon"]
    assert main(["rollouts", "create", "digits", "2", *given, "--target", "cpu-vnni", "--on-stop", "pause"]) == 0
    assert hub.asked[0].json == {
        "model": "digits",
        "version": 2,
        "slot": "default",
        "policy": {
            "waves": [{"devices": 1}, {"percent": 100.0}],
            "soak_seconds": 5.0,
            "minimum_records": 50,
            "on_stop": "pause",
            "selector": "site = lyon and target = cpu-vnni",
        },
    }
    out = capsys.readouterr().out
    assert "It runs for 3 s now; 60 s are asked for. [soaking]" in out
    assert "errors\tpass\t0.0 % of 1,200 inferences failed." in out


@pytest.mark.parametrize(("state", "code"), [("completed", 0), ("reverted", 1), ("aborted", 1), ("superseded", 1)])
def test_watching_a_rollout_ends_with_it_and_a_line_for_each_step(
    hub: FakeHub, capsys: Captured, state: str, code: int
) -> None:
    later = because("soaking", "It runs for 4 s now; 60 s are asked for.")
    first = [rollout(), rollout(), rollout(because=later)]
    steps = iter([*first, rollout(wave=1), rollout(state, 1, because=because("done", "All is done."))])
    hub.on("GET /api/v1/events", Answer(b'data: ["rollouts"]\n\n', media_type="text/event-stream"))
    hub.on("GET /api/v1/rollouts/r1", lambda _: Answer(next(steps)))
    assert main(["rollouts", "watch", "r1"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3, "what did not change, but for its seconds, is not said again"
    assert lines[0].startswith("running\twave 1 of 2 (1 device)\t")
    assert lines[-1] == f"{state}\twave 2 of 2 (100 %)\tAll is done. [done]"


def test_what_is_watched_as_json_is_one_document_a_line(hub: FakeHub, capsys: Captured) -> None:
    steps = iter([rollout(), rollout("completed")])
    hub.on("GET /api/v1/events", Answer(b'data: ["rollouts"]\n\n', media_type="text/event-stream"))
    hub.on("POST /api/v1/rollouts", Answer(rollout(), 201))
    hub.on("GET /api/v1/rollouts/digits-v2-0a1b2c", lambda _: Answer(next(steps)))
    assert main(["rollouts", "create", "digits", "2", "--watch", "-o", "json"]) == 0
    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == ["running", "completed"]


def test_rollouts_and_their_decisions_are_listed(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/rollouts", page(rollout()))
    decision = {"number": 4, "at": AT, "state": "running", "wave": 0, "because": because("wave-opened", "Wave 1 of 3.")}
    held = decision | {"number": 5, "because": because("paused", "Lunch."), "by": "ada"}
    hub.on("GET /api/v1/rollouts/r1/decisions", page(held, decision))
    assert main(["rollouts", "list", "--model", "digits", "--state", "running"]) == 0
    assert main(["rollouts", "decisions", "r1"]) == 0
    out = capsys.readouterr().out
    assert "digits-v2-0a1b2c\tdigits\t2\trunning\t1 of 2\t1 of 6" in out
    assert "5\t2026-11-22 20:00:00\tada\trunning\t1\tLunch. [paused]" in out
    assert "4\t2026-11-22 20:00:00\tthe hub\trunning\t1\tWave 1 of 3. [wave-opened]" in out
    assert hub.asked[0].query == {"model": ["digits"], "state": ["running"], "limit": ["50"]}


def test_each_option_of_a_policy_reaches_the_hub(hub: FakeHub) -> None:
    hub.on("POST /api/v1/rollouts", Answer(rollout(), 201))
    given = "--lab bench=yes --heard 80 --minimum-devices 3 --stop-failed 2 --stop-failed-after 10 --max-in-flight 50"
    given += " --per-minute 20 --growth 2 --jitter 30 --group pair --approval all --second-person --deadline 900"
    arguments = ["rollouts", "create", "digits", "2", *given.split(), "--retries", "2", "--window", "sat 01:00-05:00"]
    assert main([*arguments, "--salt", "0123abcd"]) == 0
    assert hub.asked[0].json["salt"] == "0123abcd"
    assert hub.asked[0].json["policy"] == {
        "lab": "bench=yes",
        "heard_percent": 80.0,
        "minimum_devices": 3,
        "stop_failed_percent": 2.0,
        "stop_failed_after": 10,
        "max_in_flight": 50,
        "rate": {"devices_per_minute": 20.0, "growth_factor": 2.0, "jitter_seconds": 30.0},
        "group": {"label": "pair"},
        "approval": {"waves": "all", "second_person": True},
        "window": {"days": ["sat"], "start": "01:00", "end": "05:00"},
        "deadline_seconds": 900.0,
        "retries": 2,
    }


def test_a_preview_shows_each_wave_and_the_devices_of_one(hub: FakeHub, capsys: Captured) -> None:
    waves = [
        {"name": "1 device", "covers": 2, "added": 2, "by_target": {"cpu-avx2": 1, "cpu-vnni": 1}},
        {"name": "100 %", "covers": 6, "added": 4, "by_target": {"cpu-avx2": 2, "cpu-vnni": 4}},
    ]
    answer = {"salt": "0123abcd", "waves": waves, "wave": 1, "devices": ["press-01", "press-02"]}
    hub.on("POST /api/v1/rollouts/preview", answer)
    assert main(["rollouts", "preview", "digits", "2", "--wave", "1", "--show-wave", "2", "--limit", "2"]) == 0
    out = capsys.readouterr().out
    assert "1 device\t2\t2\tcpu-avx2=1 cpu-vnni=1" in out
    assert "wave 2 adds: press-01 press-02 and 2 more" in out
    assert hub.asked[0].query == {"wave": ["1"], "limit": ["2"]}
    assert hub.asked[0].json["policy"] == {"waves": [{"devices": 1}]}


@pytest.mark.parametrize("verb", ["pause", "resume", "abort", "approve"])
def test_a_verb_says_why(hub: FakeHub, capsys: Captured, verb: str) -> None:
    hub.on(f"POST /api/v1/rollouts/r1/{verb}", rollout("paused"))
    assert main(["rollouts", verb, "r1", "--reason", "lunch"]) == 0
    assert hub.asked[0].json == {"reason": "lunch"}
    assert "paused" in capsys.readouterr().out


def test_who_acts_is_who_is_logged_in_unless_told(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.on("GET /api/v1/rollouts", page())
    main(["rollouts", "list"])
    monkeypatch.setenv("VEDETTE_ACTOR", "ada")
    main(["rollouts", "list"])
    assert [one.headers["Vedette-Actor"] for one in hub.asked] == [pwd.getpwuid(os.getuid()).pw_name, "ada"]


def test_sql_comes_from_the_command_line_or_standard_input(
    hub: FakeHub, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    columns = [{"name": "device", "type": "VARCHAR"}, {"name": "n", "type": "BIGINT"}]
    hub.on("POST /api/v1/lake/query", {"columns": columns, "rows": [["a", 1], ["b", None]], "truncated": True})
    assert main(["lake", "query", "SELECT 1", "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert said.out == "device\tn\na\t1\nb\t\n"
    assert "first 2 rows" in said.err
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 2"))
    assert main(["lake", "query", "-", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"device": "a", "n": 1}, {"device": "b", "n": None}]
    assert [one.json for one in hub.asked] == [{"sql": "SELECT 1", "limit": 2}, {"sql": "SELECT 2"}]


def test_the_lakes_tables_are_listed(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/lake/tables", [{"name": "windows", "columns": [{"name": "device", "type": "VARCHAR"}]}])
    assert main(["lake", "tables"]) == 0
    assert "windows\tdevice\tVARCHAR" in capsys.readouterr().out


def test_the_version_is_said_with_and_without_a_hub(hub: FakeHub, capsys: Captured) -> None:
    hub.on("GET /api/v1/health", {"status": "ok", "version": "9.9.9", "troubles": []})
    assert main(["version"]) == 0
    assert "9.9.9" in capsys.readouterr().out
    assert main(["version", "--hub", "http://127.0.0.1:9", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["hub"] is None


def test_a_refusal_is_said_with_its_remedy_on_stderr(hub: FakeHub, capsys: Captured) -> None:
    refusal = problem(422, "artifact-missing", "2 devices are cpu-avx2.", "Build it with --targets cpu-avx2.")
    hub.on("POST /api/v1/rollouts", refusal)
    assert main(["rollouts", "create", "digits", "2"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "Error: 2 devices are cpu-avx2. [artifact-missing]\n  Build it with --targets cpu-avx2.\n"


def test_the_option_goes_over_the_environment_before_and_after_the_command(hub: FakeHub, capsys: Captured) -> None:
    for arguments in (
        ["--hub", "http://127.0.0.1:9", "models", "list"],
        ["models", "list", "--hub", "http://127.0.0.1:9"],
    ):
        assert main(arguments) == 1
        assert "No hub answers at http://127.0.0.1:9" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["devices", "nonsense"],
        ["devices", "list", "--nonsense"],
        ["devices", "list", "--label", "site"],
        ["rollouts", "create", "digits", "two"],
        ["models", "register"],
        ["lake", "query", "SELECT 1", "-o", "yaml"],
    ],
)
def test_wrong_use_is_code_2_and_asks_no_hub(hub: FakeHub, capsys: Captured, arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "Usage:" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.parametrize("command", ["", "devices", "models", "rollouts", "lake", "demo", "version"])
def test_every_command_explains_itself(capsys: Captured, command: str) -> None:
    assert main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: vedette")
    assert not [line for line in out.splitlines()[1:] if line.endswith("...")], "no line of the help is cut short"


def test_the_fleet_is_counted(hub: FakeHub, capsys: Captured) -> None:
    running = [{"model": "digits", "version": 2, "devices": 5}]
    counts = {"total": 6, "presence": {"online": 5, "lost": 1}, "targets": {"cpu-vnni": 6}, "running": running}
    hub.on("GET /api/v1/fleet", counts | {"troubled": 1})
    assert main(["devices", "summary"]) == 0
    out = capsys.readouterr().out
    assert "presence\tlost=1 online=5" in out
    assert "running\tdigits 2 on 5" in out


def test_what_a_model_did_is_listed_by_time_and_version(hub: FakeHub, capsys: Captured) -> None:
    one = {
        "version": 2,
        "records": [100, 0],
        "errors": [3, 0],
        "records_per_second": [10.0, 0.0],
        "error_share": [0.03, None],
        "latency_p50_us": [1500.0, None],
        "latency_p95_us": [None, None],
        "predictions": {},
    }
    series = {"model": "digits", "device": "a", "since": AT, "until": AT, "bucket_seconds": 10, "times": [0, 10]}
    hub.on("GET /api/v1/monitoring/series", series | {"versions": [one]})
    assert main(["models", "series", "digits", "--device", "a", "--minutes", "5"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["00:00:00\t2\t100\t3\t1.50 ms\t-"]
    assert hub.asked[0].query == {"model": ["digits"], "device": ["a"], "minutes": ["5"]}


def test_what_the_gates_measured_is_listed(hub: FakeHub, capsys: Captured) -> None:
    reading = {"at": AT, "verdict": "pass", "value": 0.001, "lower": -0.01, "upper": 0.0125, "threshold": 0.02}
    hub.on("GET /api/v1/rollouts/r1/gates", [{"name": "errors", "readings": [reading]}])
    assert main(["rollouts", "gates", "r1"]) == 0
    told = "errors\t2026-11-22 20:00:00\tpass\t0.001\t-0.01\t0.0125\t0.02"
    assert told in capsys.readouterr().out


def test_what_holds_a_rollout_is_explained(hub: FakeHub, capsys: Captured) -> None:
    conditions = [
        {"name": "running", "have": "running", "want": "running", "met": True, "moves": "A person resumes it."},
        {"name": "records", "have": "150", "want": "200", "met": False, "moves": "Devices of it answer."},
    ]
    failure = {"code": "golden-mismatch", "sentence": "3 of 16 differ.", "devices": 2, "examples": ["a", "b"]}
    held = {"code": "rate", "devices": 3, "sentence": "20 a minute are offered it now."}
    explained = {"rollout": "r1", "state": "running", "wave": 1, "because": because("records-wanted", "150 of 200.")}
    explained |= {"conditions": conditions, "earliest": None, "held": [held], "failures": [failure]}
    hub.on("GET /api/v1/rollouts/r1/explain", explained)
    assert main(["rollouts", "explain", "r1"]) == 0
    out = capsys.readouterr().out
    assert "state\trunning, wave 2" in out
    assert "3\trate\t20 a minute are offered it now." in out
    assert "running\tmet\trunning\trunning\t\n" in out
    assert "records\tmissing\t150\t200\tDevices of it answer." in out
    assert "2\t3 of 16 differ. [golden-mismatch]\ta b" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["devices", "pin", "a", "--reason", "x", "--days", "nan"],
        ["freeze", "on", "x", "--hours", "nan"],
        ["devices", "token", "--expires-in", "nan"],
    ],
)
def test_what_is_no_number_is_no_length_of_time(hub: FakeHub, capsys: Captured, arguments: list[str]) -> None:
    assert main(arguments) == 2
    assert "is no length of time" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["devices", "pin", "a", "--reason", "x", "--days", "1e9"],
        ["devices", "pin", "a", "--reason", "x", "--days", "inf"],
        ["freeze", "on", "x", "--hours", "1e12"],
        ["devices", "token", "--expires-in", "inf"],
    ],
)
def test_a_time_that_no_calendar_has_is_refused_and_nothing_is_asked(
    hub: FakeHub, capsys: Captured, arguments: list[str]
) -> None:
    assert main(arguments) == 2
    assert "is not in the range" in capsys.readouterr().err
    assert hub.asked == []


def test_who_wrote_what_is_listed(hub: FakeHub, capsys: Captured) -> None:
    write = {"number": 7, "at": AT, "by": "ada", "method": "POST", "path": "/api/v1/rollouts", "status": 201}
    hub.on("GET /api/v1/audit", page(write | {"body": '{"model":"digits"}'}))
    assert main(["audit", "rollouts", "--by", "ada"]) == 0
    assert '7\t2026-11-22 20:00:00\tada\tPOST /api/v1/rollouts\t201\t{"model":"digits"}' in capsys.readouterr().out
    assert hub.asked[0].query == {"by": ["ada"], "q": ["rollouts"], "limit": ["50"]}


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["rollouts", "pause", "r1", "--reason", "caf\udce9"], "--reason"),
        (["devices", "pin", "gw-1", "--reason", "caf\udce9"], "--reason"),
        (["freeze", "on", "caf\udce9"], "REASON"),
        (["devices", "label", "gw-1", "site=caf\udce9"], "KEY=VALUE"),
        (["devices", "list", "--label", "site=caf\udce9"], "--label"),
        (["rollouts", "create", "digits", "1", "--select", "site = caf\udce9"], "--select"),
        (["cohorts", "create", "night", "site = caf\udce9"], "SELECTOR"),
        (["devices", "list", "--hub", "http://caf\udce9"], "--hub"),
    ],
)
def test_bytes_that_are_no_text_are_told_with_the_option_and_nothing_is_asked(
    hub: FakeHub, capsys: Captured, words: list[str], named: str
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "caf\\xe9' is not UTF-8" in said
    assert named in said
    assert hub.asked == []


@pytest.mark.parametrize("name", ["VEDETTE_ACTOR", "VEDETTE_API_TOKEN", "VEDETTE_HUB"])
def test_so_are_those_of_the_environment(
    hub: FakeHub, capsys: Captured, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "caf\udce9")
    assert main(["devices", "list"]) == 2
    assert f"{name} is not UTF-8" in capsys.readouterr().err
    assert hub.asked == []


@pytest.mark.parametrize("name", ["VEDETTE_ACTOR", "VEDETTE_API_TOKEN"])
def test_what_no_header_can_carry_is_told_and_no_secret_with_it(
    hub: FakeHub, capsys: Captured, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "\u0141ukasz")
    assert main(["devices", "list"]) == 1
    said = capsys.readouterr().err
    assert "Use printable ASCII characters only." in said
    assert "ukasz" not in said
    assert hub.asked == []
