"""The config says what may be set, and refuses what it does not know."""

from pathlib import Path

import msgspec
import pytest

from edge_agent.config import Batching, Config, load
from edge_agent.errors import ConfigWrong
from edge_agent.sources.settings import Camera, Folder, Mqtt

EXAMPLE = Path(__file__).parents[2] / "provisioning" / "agent.example.toml"


def written(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_an_empty_config_has_every_default(tmp_path):
    assert load(written(tmp_path, "")) == Config()


def test_the_example_as_it_is_changes_nothing():
    assert load(EXAMPLE) == Config()


def test_every_setting_of_the_example_is_known_and_shown_with_its_default(tmp_path):
    text = "\n".join(
        line[1:] if line.startswith("#") and not line.startswith("# ") else line
        for line in EXAMPLE.read_text().splitlines()
    )
    config = load(written(tmp_path, text))
    assert config.telemetry == Config().telemetry
    assert config.capture == Config().capture
    assert config.state_dir == Config().state_dir
    assert msgspec.structs.replace(config.serving, batching=()) == Config().serving
    assert config.serving.batching == (Batching("digits"),)
    source, *others = config.sources
    assert others == [
        Folder("digits", Path("/srv/pictures")),
        Mqtt("digits", "line/1/scans", password_file=tmp_path / "mqtt.password"),
        Camera("digits", "/dev/video0"),
    ]
    assert (source.model, source.path, source.rate_per_second, source.seed) == ("digits", tmp_path / "digits.npz", 1, 0)


def test_relative_paths_start_at_the_configs_folder(tmp_path):
    text = 'state_dir = "state"\n[[sources]]\nkind = "replay"\nmodel = "digits"\npath = "data/digits.npz"\n'
    config = load(written(tmp_path, text))
    assert config.state_dir == tmp_path / "state"
    assert config.sources[0].path == tmp_path / "data" / "digits.npz"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hearbeat_seconds = 3", "hearbeat_seconds"),
        ("[telemetry]\nwindow = 3", "window"),
        ('[[sources]]\nkind = "replay"\nmodel = "digits"\npath = "x"\nrate = 3', "rate"),
        ('[[sources]]\nkind = "telepathy"\nmodel = "digits"\npath = "x"', "telepathy"),
        ('[[sources]]\nkind = "replay"\nmodel = "digits"', "path"),
        ('heartbeat_seconds = "often"', "heartbeat_seconds"),
        ("heartbeat_seconds = 0", "heartbeat_seconds is 0"),
        ("heartbeat_seconds = nan", "heartbeat_seconds"),
        ("telemetry.window_seconds = inf", "telemetry.window_seconds"),
        ("[telemetry]\nwindow_seconds = -1", "telemetry.window_seconds"),
        ("serving.tcp_port = 65_536", "serving.tcp_port is 65536"),
        ("serving.queue = 0", "serving.queue is 0"),
        ('[[serving.batching]]\nmodel = "a/b"', "model name"),
        ('[[serving.batching]]\nmodel = "digits"\nmax_batch = 0', "max_batch is 0"),
        ("[telemetry]\nspool_max_bytes = 5", "spool_max_bytes"),
        ('target = "CPU VNNI"', "hardware target"),
        ('[[sources]]\nkind = "replay"\nmodel = "Digits"\npath = "x"', "model name"),
        (
            '[[sources]]\nkind = "replay"\nmodel = "digits"\npath = "x"\nrate_per_second = 0',
            "sources[0].rate_per_second",
        ),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\nkeep_files = -1', "sources[0].keep_files"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\ndone = "burn"', "burn"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\nsettle_seconds = nan', "settle_seconds"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\nrate_per_second = nan', "rate_per_second"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\npicture.std = [0]', "picture.std"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\npicture.mean = [1, 2]', "picture.mean"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\npicture.channels = 2', "picture.channels"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\npicture.width = 100_000', "picture.width"),
        ('[[sources]]\nkind = "folder"\nmodel = "digits"\npath = "x"\npicture.scale = inf', "picture.scale"),
        ('[[sources]]\nkind = "mqtt"\nmodel = "digits"\ntopic = ""', "sources[0].topic"),
        ('[[sources]]\nkind = "mqtt"\nmodel = "digits"\ntopic = "a"\nqueue = 0', "sources[0].queue"),
        ('[[sources]]\nkind = "mqtt"\nmodel = "digits"\ntopic = "a"\nport = 0', "sources[0].port"),
        ('[[sources]]\nkind = "mqtt"\nmodel = "digits"\ntopic = "a"\nmax_bytes = 0', "sources[0].max_bytes"),
        ('[[sources]]\nkind = "camera"\nmodel = "digits"\ndevice = ""', "sources[0].device"),
        ('[[sources]]\nkind = "camera"\nmodel = "digits"\ndevice = "x"\nrate_per_second = inf', "rate_per_second"),
        ('[[sources]]\nkind = "camera"\nmodel = "digits"\ndevice = "x"\nwidth = -1', "width"),
        ("runtime.threads = 0", "runtime.threads is 0"),
        ("runtime.parallel = 1_000", "runtime.parallel is 1000"),
        ('runtime.delegates.npu = "libnpu.so"', "absolute path"),
        ('runtime.delegates.NpuExecutionProvider = "/libnpu.so"', "no delegate's"),
        ('runtime.providers = ["npu", "npu"]', "more than once"),
        ("runtime.provider = 3", "provider"),
        ("capture.max_bytes = 5", "capture.max_bytes is 5"),
        ("capture.bytes_per_hour = 5", "capture.bytes_per_hour is 5"),
        ("capture.random_share = 1.5", "capture.random_share is 1.5"),
        ("capture.low_margin = nan", "capture.low_margin is nan"),
        ('capture.disagreement = "yes"', "disagreement"),
        ("state_dir = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path, text, words):
    path = written(tmp_path, text)
    with pytest.raises(ConfigWrong) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_config_says_how_to_name_one(tmp_path):
    with pytest.raises(ConfigWrong, match="--config"):
        load(tmp_path / "none.toml")


def test_a_config_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "agent.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigWrong, match="not TOML"):
        load(path)
