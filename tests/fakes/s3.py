"""A bucket in a test's S3 server, and what a client must be told to find it."""

import uuid
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3:
    """`endpoint` is "http://HOST:PORT", `bucket` a new one, `client` a boto3 client, `options` for deltalake."""

    endpoint: str
    bucket: str
    client: Any

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}"

    @property
    def options(self) -> dict[str, str]:
        """Storage options for deltalake."""
        return {**self.environment(self.endpoint), "AWS_ALLOW_HTTP": "true", "AWS_CONDITIONAL_PUT": "etag"}

    @staticmethod
    def environment(endpoint: str) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @classmethod
    def with_new_bucket(cls, endpoint: str, client: Any) -> "S3":
        bucket = f"test-{uuid.uuid4().hex}"
        client.create_bucket(Bucket=bucket)
        return cls(endpoint, bucket, client)

    def close(self) -> None:
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket):
            for item in page.get("Contents", []):
                self.client.delete_object(Bucket=self.bucket, Key=item["Key"])
        self.client.delete_bucket(Bucket=self.bucket)
        self.client.close()
