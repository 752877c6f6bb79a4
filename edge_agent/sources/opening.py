"""From what the config says of a source to the source. Each kind is imported when it is asked for."""

from typing import assert_never

from edge_agent.sources.settings import Camera, Folder, Mqtt, Replay, Settings
from edge_agent.sources.source import Source


def source_of(settings: Settings) -> Source:
    """The source that `settings` describe. What is wrong shows when it is asked for records."""
    match settings:
        case Replay():
            from edge_agent.sources.replay import ReplaySource

            return ReplaySource(settings.model, settings.path, settings.rate_per_second, settings.seed)
        case Folder():
            from edge_agent.sources.folder import FolderSource

            return FolderSource(settings)
        case Mqtt():
            from edge_agent.sources.mqtt import MqttSource

            return MqttSource(settings)
        case Camera():
            from edge_agent.sources.camera import CameraSource

            return CameraSource(settings)
        case _:
            assert_never(settings)
