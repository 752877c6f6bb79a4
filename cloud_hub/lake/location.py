"""Where the lake is: a local folder or a prefix in an S3 bucket, for deltalake and for pyarrow alike."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from cloud_hub.errors import CannotStart


@dataclass(frozen=True)
class Location:
    """The root of one table. `folder` is None on S3."""

    uri: str
    folder: Path | None
    storage_options: Mapping[str, str]

    @classmethod
    def of(cls, url: str, table: str, endpoint_url: str | None = None) -> "Location":
        """The place of `table` in the lake at `url`, a folder or "s3://BUCKET/PREFIX".

        `endpoint_url` is for S3 that is not AWS's. Keys, region and the like come from where AWS's own tools take
        them (AWS_* in the environment, the instance's role). Raises `CannotStart`.
        """
        parts = urlsplit(url)
        if parts.scheme == "s3" and parts.netloc:
            prefix = parts.path.strip("/")
            uri = "/".join(part for part in (f"s3://{parts.netloc}", prefix, table) if part)
            return cls(uri, None, _options(endpoint_url))
        if parts.scheme in ("", "file") and not parts.netloc and parts.path:
            folder = Path(parts.path).absolute() / table
            return cls(str(folder), folder, {})
        raise CannotStart(
            f"The lake's URL {url!r} is neither a folder nor s3://BUCKET/PREFIX.",
            "Correct --lake-url.",
            code="lake-url-wrong",
        )

    def beside(self, table: str) -> "Location":
        """The place of another table of the same lake."""
        root, _, _ = self.uri.rpartition("/")
        folder = None if self.folder is None else self.folder.with_name(table)
        return Location(f"{root}/{table}", folder, self.storage_options)

    def filesystem(self) -> pafs.FileSystem:
        """The table's root as a file system of pyarrow's, which reads without holding up other threads."""
        if self.folder is not None:
            return pafs.SubTreeFileSystem(str(self.folder), pafs.LocalFileSystem())
        endpoint = self.storage_options.get("AWS_ENDPOINT_URL")
        region = self.storage_options.get("AWS_REGION")
        parts = urlsplit(endpoint) if endpoint else None
        s3 = pafs.S3FileSystem(
            **({"region": region} if region else {}),
            **({"endpoint_override": parts.netloc, "scheme": parts.scheme} if parts else {}),
        )
        return pafs.SubTreeFileSystem(self.uri.removeprefix("s3://"), s3)


def _options(endpoint_url: str | None) -> dict[str, str]:
    endpoint = endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    options: dict[str, str] = {}
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = str(endpoint.startswith("http://")).lower()
        # What is not AWS's takes any region, and signing needs one.
        region = region or "us-east-1"
    if region:
        options["AWS_REGION"] = region
    # A commit must fail, not replace, when another writer has made the same version. This is S3's own conditional
    # write; without it two hubs could silently overwrite each other's commits.
    options["AWS_CONDITIONAL_PUT"] = "etag"
    return options
