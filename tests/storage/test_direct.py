"""Requests without botocore: signed as botocore signs, and only where it has no more to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.servers import ACCESS_KEY, SECRET_KEY, S3Server, clean_environment, rclone_server
from therock_outputs.errors import StorageError
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Download, S3Storage, Upload
from therock_outputs.storage.s3 import S3Settings
from therock_outputs.storage.s3.direct import direct_access

_RUN = StorageLocation("therock-ci-artifacts", "1-linux/")
_PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_environment(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)


@pytest.mark.parametrize("token", ["", "a/session+token=="])
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:9000", "https://s3.example.com:443"])
@pytest.mark.parametrize(
    ("bucket", "key", "query"),
    [
        ("therock-ci-artifacts", "1-linux/a b+c~é%41(1)*'.tar.zst", {}),
        ("dotted.bucket", "k", {}),
        ("bucket", "", {"list-type": "2", "prefix": "1-linux/a b+c&=~é"}),
    ],
)
def test_signature_is_botocores(  # noqa: PLR0917
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    endpoint: str | None,
    bucket: str,
    key: str,
    query: dict[str, str],
) -> None:
    if token:
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    direct = direct_access(S3Settings(endpoint))
    assert direct is not None
    target = direct.target(bucket, key, query)
    port = f":{target.port}" if target.port else ""
    request = AWSRequest("GET", f"{target.scheme}://{target.host}{port}{target.path}")
    stamp = target.headers["x-amz-date"]
    signer = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, token or None), "s3", "us-east-2")
    request.context["timestamp"] = stamp
    request.headers["X-Amz-Date"] = stamp
    request.headers["X-Amz-Content-SHA256"] = signer.payload(request)
    if token:
        request.headers["X-Amz-Security-Token"] = token
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signature = signer.signature(text, request)
    assert target.headers["authorization"].endswith(f"Signature={signature}")


def test_buckets_of_aws_are_host_names_and_others_are_paths() -> None:
    aws = direct_access(S3Settings())
    assert aws is not None
    assert aws.target("bucket", "k").host == "bucket.s3.us-east-2.amazonaws.com"
    assert aws.target("a.bucket", "k").host == "s3.us-east-2.amazonaws.com"
    assert aws.target("a.bucket", "k").path == "/a.bucket/k"
    own = direct_access(S3Settings("http://127.0.0.1:9000/base/"))
    assert own is not None
    assert own.target("bucket", "k").path == "/base/bucket/k"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROFILE", "other"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_REGION", "cn-north-1"),
        ("HTTPS_PROXY", "http://proxy:3128"),
        ("http_proxy", "http://proxy:3128"),
    ],
)
def test_anything_out_of_the_ordinary_is_left_to_botocore(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert direct_access(S3Settings()) is None


def test_configuration_file_is_left_to_botocore(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    assert direct_access(S3Settings()) is None


def test_nobody_is_anonymous_while_credentials_may_be_somewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean_environment(monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    anonymous = direct_access(S3Settings())
    assert anonymous is not None
    assert anonymous.target("bucket", "k").headers == {}
    (tmp_path / ".boto").touch()
    assert direct_access(S3Settings()) is None
    (tmp_path / ".boto").unlink()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    assert direct_access(S3Settings()) is None


def test_server_refuses_a_wrong_signature(
    servers: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    servers["rclone"].make_bucket(_RUN.bucket)
    servers["rclone"].use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret-of-forty-characters-in-all")
    with pytest.raises(StorageError, match="check AWS_SECRET_ACCESS_KEY"):
        S3Storage().download([Download(_RUN / "a", tmp_path / "a")])


def test_public_reads_need_no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "root" / _RUN.bucket / "1-linux"
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(b"hello")
    with rclone_server(tmp_path / "root", signed=False) as server:
        for disabled in ("true", ""):  # asked directly, and through botocore
            server.use(monkeypatch)
            monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            if not disabled:
                monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
                (tmp_path / "config").write_text("[default]\n")
            storage = S3Storage()
            assert [info.location.name for info in storage.list(_RUN)] == ["a"]
            assert storage.read(_RUN / "a") == b"hello"
            storage.download([Download(_RUN / "a", tmp_path / f"out{disabled}")])


def test_whole_fetch_does_not_load_botocore(
    servers: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It would take longer to load than a small run takes to fetch."""
    servers["rclone"].make_bucket(_RUN.bucket)
    servers["rclone"].use(monkeypatch)
    S3Storage().upload([Upload(b"hello", _RUN / "start-up/a")])
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from therock_outputs.layout import StorageLocation\n"
        "from therock_outputs.storage import Download, open_storage\n"
        "root = StorageLocation('therock-ci-artifacts', '1-linux/start-up/')\n"
        "storage = open_storage(None)\n"
        "[info] = storage.list(root)\n"
        "storage.download([Download(info.location, Path(sys.argv[1]))])\n"
        "assert storage.read(info.location) == b'hello'\n"
        "assert not any(name.startswith('boto') for name in sys.modules)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "a")]
    subprocess.run(command, cwd=_PROJECT, check=True)
    assert (tmp_path / "a").read_bytes() == b"hello"
