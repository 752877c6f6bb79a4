"""All that can be set on a hub, read once: from the command line, then from VEDETTE_* in the environment."""

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cloud_hub.errors import CannotStart
from fleet_contract.topics import check_id

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """Ports of 0 mean any free one. URLs that are None mean the parts that live in the data folder."""

    model_config = SettingsConfigDict(env_prefix="VEDETTE_", frozen=True, extra="forbid")

    data: Path = Path("vedette-data")
    fleet: str = "default"
    host: str = "127.0.0.1"
    port: int = Field(default=8420, ge=0, le=65535)
    mqtt_port: int = Field(default=8421, ge=0, le=65535)
    database_url: str | None = None
    """"sqlite:///PATH" or "postgresql://USER:PASSWORD@HOST/NAME"."""
    blobs_url: str | None = None
    """A folder, or "s3://BUCKET/PREFIX"."""
    s3_endpoint_url: str | None = None
    """For S3 that is not AWS's: MinIO, Ceph, moto."""
    lake_url: str | None = None
    """A folder, or "s3://BUCKET/PREFIX"."""
    broker_url: str | None = None
    """"mqtt://HOST:PORT" of an MQTT 5 broker to use instead of the embedded one."""
    public_url: str | None = None
    """How devices and browsers reach the hub, when that is not http://HOST:PORT."""
    api_token: SecretStr | None = None
    silent_after_seconds: float = Field(default=90.0, gt=0)
    """A device not heard from for so long is called silent: three heartbeats of the agent's default."""
    audit_days: int = Field(default=365, ge=1, le=36_500)
    """How long it is kept who wrote what."""
    max_blob_bytes: int = Field(default=4 * 1024**3, gt=0)

    @field_validator("fleet")
    @classmethod
    def _fleet_is_a_name(cls, fleet: str) -> str:
        return check_id(fleet, "fleet")

    @field_validator("api_token")
    @classmethod
    def _token_is_long(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and len(token.get_secret_value()) < 16:
            raise CannotStart(
                "VEDETTE_API_TOKEN has fewer than 16 characters, which can be guessed.",
                "Make one with `openssl rand -hex 32`.",
                code="api-token-short",
            )
        return token

    @model_validator(mode="after")
    def _open_doors_need_a_lock(self) -> Self:
        if self.host not in LOOPBACK and self.api_token is None:
            raise CannotStart(
                f"The hub would listen on {self.host}, for everyone, with no API token set.",
                "Set VEDETTE_API_TOKEN to a long random text (`openssl rand -hex 32`), or leave --host out.",
                code="api-token-missing",
            )
        return self
