"""Blobs in an S3 bucket, which devices read directly by presigned URLs."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cloud_hub.blobs.store import CHUNK_BYTES, check_digest, checked, full_disk_is_said, unknown
from cloud_hub.errors import Unavailable
from fleet_contract.manifest import Blob

#: The most that AWS allows a presigned URL.
_MAX_URL_AGE = timedelta(days=7)


class S3Blobs:
    """The port `Blobs` on `bucket`, under `prefix`. Credentials and region come as boto3 finds them."""

    def __init__(
        self,
        bucket: str,
        prefix: str,
        now: Callable[[], datetime],
        max_blob_bytes: int,
        *,
        endpoint_url: str | None = None,
    ) -> None:
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self._now = now
        self._max_blob_bytes = max_blob_bytes
        # Without an explicit version boto3 signs URLs in some regions with version 2, which newer ones refuse.
        config = Config(signature_version="s3v4", retries={"max_attempts": 4, "mode": "standard"}, connect_timeout=5)
        self._client: Any = boto3.client("s3", endpoint_url=endpoint_url, config=config)

    def put(self, digest: str, chunks: Iterable[bytes]) -> Blob:
        key = self._key(digest)
        # Checked on this side first: a bucket must never hold, even for a moment, bytes under a wrong digest.
        with full_disk_is_said(digest, Path(tempfile.gettempdir())), tempfile.NamedTemporaryFile() as file:
            for chunk in checked(digest, chunks, self._max_blob_bytes):
                file.write(chunk)
            file.flush()
            size = file.tell()
            self._call(lambda: self._client.upload_file(file.name, self._bucket, key))
        return Blob(digest, size)

    def read(self, digest: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        arguments = {"Bucket": self._bucket, "Key": self._key(digest)}
        if end is not None and end <= start:
            return iter(())
        if start or end is not None:
            arguments["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
        answer = self._call(lambda: self._client.get_object(**arguments))
        if answer is None:
            raise unknown(digest)

        def chunks() -> Iterator[bytes]:
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(CHUNK_BYTES)

        return chunks()

    def size(self, digest: str) -> int | None:
        key = self._key(digest)
        answer = self._call(lambda: self._client.head_object(Bucket=self._bucket, Key=key))
        return None if answer is None else int(answer["ContentLength"])

    @contextmanager
    def path_or_temp(self, digest: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile() as file:
            for chunk in checked(digest, self.read(digest), self._max_blob_bytes):
                file.write(chunk)
            file.flush()
            yield Path(file.name)

    def url(self, digest: str, expires_at: datetime) -> str:
        age = min(expires_at - self._now(), _MAX_URL_AGE)
        found: str = self._client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self._bucket, "Key": self._key(digest)},
            ExpiresIn=max(1, int(age.total_seconds())),
        )
        return found

    def _key(self, digest: str) -> str:
        return f"{self._prefix}sha256/{check_digest(digest)}"

    def _call(self, request: Callable[[], Any]) -> Any:
        """The answer to `request`, or None when there is no such object. Raises `Unavailable`."""
        try:
            return request() or {}
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in ("NoSuchKey", "404"):
                return None
            raise self._unavailable(error) from error
        except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"The bucket {self._bucket!r} refused or did not answer: {error}.",
            "Check that it exists, and that the hub's credentials may read and write it.",
            code="blobs-unavailable",
        )
