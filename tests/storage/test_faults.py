"""What happens when the network or the server fails: what is tried again, what never is."""

from __future__ import annotations

import hashlib
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.faulty_server import Break, Fault, FaultyServer, faulty_server
from tests.servers import S3Server, clean_environment
from therock_outputs.errors import (
    ConflictError,
    IntegrityError,
    NotFoundError,
    OutputsError,
    StorageError,
)
from therock_outputs.layout import StorageLocation
from therock_outputs.storage import Download, IfExists, Outcome, S3Storage, Upload
from therock_outputs.storage.s3 import RetryPolicy, S3Settings
from therock_outputs.storage.s3.fetch import wants_help

_MIB = 1 << 20
_BUCKET = "therock-ci-artifacts"
_LOOPBACK = IPv4Address("127.0.0.1")
_SETTINGS = S3Settings(
    retry=RetryPolicy(attempts=4, base_delay=0.0),
    read_timeout=5.0,
    range_size=2 * _MIB,
    part_size=5 * _MIB,
    multipart_threshold=6 * _MIB,
    copy_part_size=5 * _MIB,
    copy_part_threshold=6 * _MIB,
)


@pytest.fixture
def faulty(servers: dict[str, S3Server], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    servers["moto"].use(monkeypatch)
    servers["moto"].make_bucket(_BUCKET)
    with faulty_server(servers["moto"]) as proxy:
        proxy.server.use(monkeypatch)
        yield proxy


@pytest.fixture
def storage(faulty: FaultyServer) -> S3Storage:
    return S3Storage(_SETTINGS)


@pytest.fixture
def root(request: pytest.FixtureRequest) -> StorageLocation:
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    return StorageLocation(_BUCKET, f"{name}-linux/")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def large(seed: int, size: int = 12 * _MIB + 345) -> bytes:
    block = hashlib.shake_256(seed.to_bytes(4, "big")).digest(1 << 16)
    return (block * (size // len(block) + 1))[:size]


_PASSING = {
    "slow-down": Fault(kind=Break.REFUSE, times=3),
    "internal-error": Fault(kind=Break.REFUSE, times=3, status=500, code="InternalError"),
    "request-timeout": Fault(kind=Break.REFUSE, times=3, status=400, code="RequestTimeout"),
    "reset": Fault(kind=Break.RESET, times=3),
    "truncated": Fault(kind=Break.TRUNCATE, times=3, keep=1000),
    "empty": Fault(kind=Break.TRUNCATE, times=3),
}
# What no repetition helps against, unless a test says how often.
_DENIED: dict[str, Any] = {"status": 403, "code": "AccessDenied", "times": 100}


@pytest.mark.parametrize("fault", _PASSING.values(), ids=_PASSING)
def test_download_survives_what_passes(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path, fault: Fault
) -> None:
    storage.upload([Upload(b"x" * 5000, root / "f.bin")])
    faulty.break_with(fault)
    [transfer] = storage.download([Download(root / "f.bin", tmp_path / "f", sha256(b"x" * 5000))])
    assert transfer.outcome is Outcome.WRITTEN
    assert faulty.count("GET", "f.bin") == 4


@pytest.mark.parametrize("fault", _PASSING.values(), ids=_PASSING)
def test_reading_survives_what_passes(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, fault: Fault
) -> None:
    storage.upload([Upload(b"x" * 5000, root / "f.bin")])
    faulty.break_with(fault)
    assert storage.read(root / "f.bin") == b"x" * 5000


def test_truncated_body_goes_on_where_it_stopped(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(1, 2 * _MIB)
    storage.upload([Upload(data, root / "f.bin")])
    faulty.break_with(Fault(kind=Break.TRUNCATE, keep=1_500_000))
    storage.download([Download(root / "f.bin", tmp_path / "f", sha256(data), len(data))])
    assert (tmp_path / "f").read_bytes() == data
    assert faulty.sent("f.bin") == len(data)  # not one byte twice
    assert [exchange.range for exchange in faulty.seen] == [None, f"bytes=1500000-{len(data) - 1}"]


def test_listing_survives_what_passes(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    storage.upload([Upload(b"x", root / "f")])
    faulty.break_with(
        Fault(kind=Break.REFUSE, key="list-type"),
        Fault(kind=Break.RESET, key="list-type"),
        Fault(kind=Break.TRUNCATE, key="list-type", keep=100),
    )
    assert [info.location.name for info in storage.list(root)] == ["f"]
    assert faulty.count("GET", "list-type") == 4


def test_giving_up_names_the_object_and_the_fix(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    storage.upload([Upload(b"x", root / "f.bin")])
    faulty.break_with(Fault(kind=Break.REFUSE, times=100))
    with pytest.raises(StorageError, match=r"f\.bin .*SlowDown.*HTTP 503.*try again later"):
        storage.download([Download(root / "f.bin", tmp_path / "f")])
    assert faulty.count("GET", "f.bin") == 4
    assert list(tmp_path.iterdir()) == []


def test_silent_server_is_a_time_out(
    faulty: FaultyServer, root: StorageLocation, tmp_path: Path
) -> None:
    storage = S3Storage(S3Settings(retry=RetryPolicy(attempts=2, base_delay=0.0), read_timeout=0.2))
    storage.upload([Upload(b"x", root / "f.bin")])
    faulty.break_with(Fault(kind=Break.STALL, times=100))
    with pytest.raises(StorageError, match=r"f\.bin .*timed out.*try again later"):
        storage.download([Download(root / "f.bin", tmp_path / "f")])
    assert faulty.count("GET", "f.bin") == 2


_LASTING = [
    (403, "AccessDenied", "", StorageError, "access denied with the credentials at hand; assume"),
    (403, "SignatureDoesNotMatch", "", StorageError, "check AWS_SECRET_ACCESS_KEY"),
    (403, "InvalidAccessKeyId", "", StorageError, "check AWS_ACCESS_KEY_ID"),
    (403, "RequestTimeTooSkewed", "", StorageError, "clock is wrong"),
    (400, "ExpiredToken", "", StorageError, "they have expired"),
    (404, "NoSuchKey", "", NotFoundError, "not there; check the run, the key and the bucket"),
    (404, "NoSuchBucket", "", StorageError, "no bucket therock-ci-artifacts; check --bucket"),
    (301, "PermanentRedirect", "eu-west-1", StorageError, "AWS_DEFAULT_REGION=eu-west-1"),
    (405, "MethodNotAllowed", "", StorageError, "check that the server supports this"),
]


@pytest.mark.parametrize(
    ("status", "code", "region", "kind", "text"), _LASTING, ids=lambda v: str(v)[:20]
)
def test_what_cannot_pass_is_not_tried_again(  # noqa: PLR0917
    faulty: FaultyServer,
    storage: S3Storage,
    root: StorageLocation,
    tmp_path: Path,
    status: int,
    code: str,
    region: str,
    kind: type[OutputsError],
    text: str,
) -> None:
    faulty.break_with(Fault(kind=Break.REFUSE, times=100, status=status, code=code, region=region))
    with pytest.raises(kind, match=text) as caught:
        storage.download([Download(root / "f.bin", tmp_path / "f")])
    assert f"s3://{_BUCKET}/{root.key}f.bin" in str(caught.value)
    # A redirect is followed by boto3 once, which asks for the bucket's region and then again.
    assert faulty.count("GET", "f.bin") <= (3 if status == 301 else 1)
    faulty.break_with(Fault(kind=Break.REFUSE, times=100, status=status, code=code, region=region))
    with pytest.raises(kind, match=text):
        storage.read(root / "f.bin")
    assert list(tmp_path.iterdir()) == []


def test_denied_without_credentials_says_what_to_set(
    faulty: FaultyServer,
    root: StorageLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    S3Storage(_SETTINGS).upload([Upload(b"x", root / "f")])
    clean_environment(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faulty.server.endpoint)
    storage = S3Storage(_SETTINGS)
    fix = r"no credentials were found.*AWS_ACCESS_KEY_ID.*that may use bucket therock-ci-artifacts"
    with pytest.raises(StorageError, match=fix):
        storage.download([Download(root / "f", tmp_path / "f")])
    with pytest.raises(StorageError, match=fix):
        storage.upload([Upload(b"x", root / "f")])


def test_nobody_listening_is_said_so(
    root: StorageLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean_environment(monkeypatch)
    storage = S3Storage(
        S3Settings("http://127.0.0.1:9", retry=RetryPolicy(attempts=2, base_delay=0.0))
    )
    with pytest.raises(StorageError, match=r"no connection.*AWS_ENDPOINT_URL_S3"):
        storage.download([Download(root / "f", tmp_path / "f")])
    with pytest.raises(StorageError, match=r"no connection.*AWS_ENDPOINT_URL_S3"):
        storage.upload([Upload(b"x", root / "f")])


def test_upload_survives_what_passes(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    faulty.break_with(
        Fault(kind=Break.REFUSE, method="PUT", times=2),
        Fault(kind=Break.RESET, method="PUT"),
        Fault(kind=Break.REFUSE, method="HEAD", status=500),
    )
    [transfer] = storage.upload([Upload(b"hello", root / "f.bin")])
    assert transfer.outcome is Outcome.WRITTEN
    assert storage.read(root / "f.bin") == b"hello"


def test_lost_answer_to_a_conditional_upload_is_no_conflict(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    faulty.break_with(Fault(kind=Break.LOSE_ANSWER, method="PUT"))
    [transfer] = storage.upload([Upload(b"hello", root / "f.bin")])
    assert transfer.sha256 == sha256(b"hello")
    assert faulty.count("PUT", "f.bin") == 2


def test_parts_are_tried_again_and_an_upload_that_fails_is_given_up(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(2)
    (tmp_path / "f").write_bytes(data)
    faulty.break_with(Fault(kind=Break.REFUSE, method="PUT", key="partNumber=2", times=3))
    storage.upload([Upload(tmp_path / "f", root / "f.bin")])
    assert storage.read(root / "f.bin") == data
    faulty.break_with(Fault(kind=Break.REFUSE, method="PUT", key="partNumber=2", times=100))
    with pytest.raises(StorageError, match=r"g\.bin .*SlowDown"):
        storage.upload([Upload(tmp_path / "f", root / "g.bin")])
    assert faulty.count("DELETE", "g.bin") == 1
    assert not storage.exists(root / "g.bin")


def test_bytes_spoiled_on_the_way_are_never_kept(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(3)
    storage.upload([Upload(data, root / "f.bin")])
    faulty.break_with(Fault(kind=Break.CORRUPT))
    with pytest.raises(IntegrityError, match=f"SHA-256 .* but {sha256(data)} was expected"):
        storage.download([Download(root / "f.bin", tmp_path / "f", sha256(data))])
    assert list(tmp_path.iterdir()) == []
    # The digest that our upload left with the object serves where the caller knows none.
    faulty.break_with(Fault(kind=Break.CORRUPT))
    with pytest.raises(IntegrityError, match="was expected"):
        storage.download([Download(root / "f.bin", tmp_path / "f")])


def test_interrupted_download_resumes(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(4)
    storage.upload([Upload(data, root / "f.bin")])
    item = Download(root / "f.bin", tmp_path / "f", sha256(data), len(data))
    faulty.break_with(Fault(kind=Break.REFUSE, after=3, **_DENIED))
    with pytest.raises(StorageError):
        storage.download([item], jobs=1)
    kept = sum(end - start for start, end in map(json.loads, record(tmp_path).splitlines()[1:]))
    assert kept >= 6 * _MIB
    faulty.break_with()
    storage.download([item], jobs=2)
    assert (tmp_path / "f").read_bytes() == data
    assert faulty.sent("f.bin") == len(data) - kept
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_large_object_among_small_ones_is_fetched_by_all_workers(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    contents = {"large.bin": large(8)}
    contents |= {f"small{number}.bin": large(number, _MIB) for number in range(5)}
    storage.upload([Upload(data, root / name) for name, data in contents.items()])
    faulty.break_with()
    for jobs in (2, 5):
        paths = {name: tmp_path / f"{jobs}{name}" for name in contents}
        items = [Download(root / n, path, size=len(contents[n])) for n, path in paths.items()]
        done = storage.download(items, jobs=jobs)
        assert [one.sha256 for one in done] == [sha256(data) for data in contents.values()]
        assert all(path.read_bytes() == contents[name] for name, path in paths.items())
    assert faulty.count("GET", "large.bin") == 2 * 7


@pytest.mark.parametrize(
    ("left", "waiting", "jobs", "helps"),
    [
        ([], 0, 4, False),
        ([], 500, 4, False),
        ([100], 0, 1, False),
        ([100], 0, 2, True),
        ([100], 100, 2, False),
        ([100], 99, 2, True),
        ([100], 300, 4, False),
        ([100, 90], 200, 4, True),
        ([100, 90, 90], 120, 4, False),
        ([0, 0], 1, 8, False),
    ],
)
def test_help_is_for_what_is_more_than_a_share(
    left: list[int], waiting: int, jobs: int, helps: bool
) -> None:
    assert wants_help(left, waiting, jobs) == helps


def record(directory: Path) -> str:
    return (directory / ".f.partial.json").read_text()


def test_partial_range_is_kept_too(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    data = large(5)
    storage.upload([Upload(data, root / "f.bin")])
    item = Download(root / "f.bin", tmp_path / "f", sha256(data), len(data))
    faulty.break_with(Fault(kind=Break.TRUNCATE, keep=700_000), Fault(kind=Break.REFUSE, **_DENIED))
    with pytest.raises(StorageError):
        storage.download([item], jobs=1)
    assert json.loads(record(tmp_path).splitlines()[1]) == [0, 700_000]
    faulty.break_with()
    storage.download([item])
    assert (tmp_path / "f").read_bytes() == data


def test_changed_object_is_not_spliced_onto_the_old_one(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    old, new = large(6), large(7)
    storage.upload([Upload(old, root / "f.bin")])
    item = Download(root / "f.bin", tmp_path / "f")
    faulty.break_with(Fault(kind=Break.REFUSE, after=3, **_DENIED))
    with pytest.raises(StorageError):
        storage.download([item], jobs=1)
    faulty.break_with()
    storage.upload([Upload(new, root / "f.bin", IfExists.REPLACE)])
    storage.download([item])
    assert (tmp_path / "f").read_bytes() == new


def test_object_that_changes_under_way_is_an_error(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    storage.upload([Upload(large(8), root / "f.bin")])
    fetched: list[int] = []

    def change_once(_: str, count: int) -> None:
        if not fetched:
            storage.upload([Upload(large(9), root / "f.bin", IfExists.REPLACE)])
        fetched.append(count)

    with pytest.raises(IntegrityError, match=r"f\.bin changed while it was fetched"):
        storage.download([Download(root / "f.bin", tmp_path / "f")], jobs=1, progress=change_once)
    assert not (tmp_path / "f").exists()


def test_everything_works_through_a_proxy(
    faulty: FaultyServer,
    servers: dict[str, S3Server],
    root: StorageLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    servers["moto"].use(monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", faulty.server.endpoint)
    storage = S3Storage(_SETTINGS)
    data = large(10)
    storage.upload([Upload(data, root / "f.bin")])
    faulty.break_with(Fault(kind=Break.TRUNCATE, times=2, keep=1_000_000))
    storage.download([Download(root / "f.bin", tmp_path / "f", sha256(data))])
    assert (tmp_path / "f").read_bytes() == data
    assert [info.size for info in storage.list(root)] == [len(data)]
    assert faulty.count("GET", "f.bin") >= 7


def test_conflicting_upload_is_seen_when_another_writer_was_faster(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    """The name is free when we look, and taken when we write."""
    other = S3Storage(_SETTINGS)
    other.upload([Upload(b"theirs", root / "f.bin")])
    faulty.break_with(Fault(kind=Break.REFUSE, method="HEAD", status=404, code="404"))
    with pytest.raises(ConflictError, match=f"would now get SHA-256 {sha256(b'ours')}"):
        storage.upload([Upload(b"ours", root / "f.bin")])
    faulty.break_with(Fault(kind=Break.REFUSE, method="HEAD", status=404, code="404"))
    [transfer] = storage.upload([Upload(b"theirs", root / "f.bin")])
    assert transfer.outcome is Outcome.SAME


def test_update_is_repeated_when_another_writer_was_faster(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    other = S3Storage(_SETTINGS)
    seen: list[bytes | None] = []

    def change(old: bytes | None) -> bytes:
        seen.append(old)
        if len(seen) == 1:
            other.upload([Upload(b"theirs ", root / "i", IfExists.REPLACE)])
        return (old or b"") + b"ours"

    assert storage.update(root / "i", change) == b"theirs ours"
    assert seen == [None, b"theirs "]
    assert storage.read(root / "i") == b"theirs ours"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_LOOPBACK)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(built.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.mark.parametrize("profile", [False, True])
def test_certificates_are_checked(  # noqa: PLR0917
    servers: dict[str, S3Server],
    certificate: Path,
    root: StorageLocation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    profile: bool,
) -> None:
    servers["moto"].make_bucket(_BUCKET)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with faulty_server(servers["moto"], context) as faulty:
        faulty.server.use(monkeypatch)
        if profile:  # which makes botocore do it
            (tmp_path / "config").write_text("[default]\n")
            monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        refused = r"certificate is refused.*set AWS_CA_BUNDLE"
        with pytest.raises(StorageError, match=refused):
            list(S3Storage(_SETTINGS).list(root))
        with pytest.raises(StorageError, match=refused):
            S3Storage(_SETTINGS).download([Download(root / "f", tmp_path / "f")])
        with pytest.raises(StorageError, match=refused):
            S3Storage(_SETTINGS).upload([Upload(b"x", root / "f")])
        monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))
        storage = S3Storage(_SETTINGS)
        storage.upload([Upload(b"hello", root / "f")])
        storage.download([Download(root / "f", tmp_path / "f")])
        assert (tmp_path / "f").read_bytes() == b"hello"
        assert [info.size for info in storage.list(root)] == [5]


def test_half_of_the_credentials_is_said_so(
    faulty: FaultyServer, root: StorageLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    storage = S3Storage(_SETTINGS)
    fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"
    with pytest.raises(StorageError, match=fix):
        storage.upload([Upload(b"x", root / "f")])
    with pytest.raises(StorageError, match=fix):
        storage.download([Download(root / "f", tmp_path / "f")])
    assert faulty.seen == []


def test_size_that_differs_from_the_listing_is_an_error(
    storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    storage.upload([Upload(b"hello", root / "f")])
    with pytest.raises(IntegrityError, match="has 5 bytes but 6 were expected; list the run"):
        storage.download([Download(root / "f", tmp_path / "f", size=6)])


def test_update_gives_up_when_others_never_stop(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    faulty.break_with(
        Fault(
            kind=Break.REFUSE,
            method="PUT",
            key="index",
            times=1000,
            status=412,
            code="PreconditionFailed",
        )
    )
    with pytest.raises(ConflictError, match="changed by others 50 times in a row"):
        storage.update(root / "index", lambda _: b"x")


def test_source_that_changes_while_it_is_uploaded_is_not_published(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    for spoil in (b"longer", None):
        path.write_bytes(large(11))

        def change(_: str, __: int, data: bytes | None = spoil) -> None:
            if data is None:
                path.write_bytes(b"short")
            else:
                with path.open("ab") as stream:
                    stream.write(data)

        with pytest.raises(IntegrityError, match="while it was uploaded"):
            storage.upload([Upload(path, root / "f.bin")], jobs=1, progress=change)
        assert not storage.exists(root / "f.bin")
    assert faulty.count("DELETE", "f.bin") == 2


def test_stream_of_a_changed_object_is_an_error(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation
) -> None:
    storage.upload([Upload(large(12), root / "f.bin")])
    faulty.break_with(Fault(kind=Break.TRUNCATE, keep=1_000_000))
    with storage.open(root / "f.bin") as stream:
        stream.read(10)
        storage.upload([Upload(large(13), root / "f.bin", IfExists.REPLACE)])
        with pytest.raises(IntegrityError, match="changed while it was read"):
            stream.read()


def test_what_vanishes_after_it_was_written_is_missed(
    servers: dict[str, S3Server], root: StorageLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server that knows no conditions we look at what stands."""
    servers["rclone"].make_bucket(_BUCKET)
    with faulty_server(servers["rclone"]) as faulty:
        faulty.server.use(monkeypatch)
        storage = S3Storage(_SETTINGS)
        storage.upload([Upload(b"x", root / "a.bin")])
        gone = Fault(kind=Break.REFUSE, method="HEAD", key="b.bin", after=1, status=404)
        faulty.break_with(gone)
        with pytest.raises(NotFoundError, match="vanished after it was copied"):
            storage.copy([(root / "a.bin", root / "b.bin")])
        faulty.break_with(Fault(kind=Break.REFUSE, method="HEAD", key="c.bin", after=1, status=404))
        with pytest.raises(NotFoundError, match="vanished after it was uploaded"):
            storage.upload([Upload(b"x", root / "c.bin")])


def test_writer_that_another_overwrote_is_told(
    servers: dict[str, S3Server], root: StorageLocation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody was there when we looked; what stands after our write is someone else's."""
    servers["rclone"].make_bucket(_BUCKET)
    with faulty_server(servers["rclone"]) as faulty:
        faulty.server.use(monkeypatch)
        storage, other = S3Storage(_SETTINGS), S3Storage(_SETTINGS)

        def overwrite(name: str, _: int) -> None:
            other.upload([Upload(b"theirs", root / name, IfExists.REPLACE)])

        with pytest.raises(ConflictError, match=r"put\.bin is published with SHA-256"):
            storage.upload([Upload(b"ours!!", root / "put.bin")], progress=overwrite)
        assert storage.read(root / "put.bin") == b"theirs"


@pytest.mark.parametrize("present", [b"theirs", b"longer than ours"])
def test_copy_that_was_not_made_is_told(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, present: bytes
) -> None:
    """A server that honours the condition of a copy keeps what another writer put there."""
    storage.upload([Upload(b"ours!!", root / "a.bin"), Upload(present, root / "b.bin")])
    faulty.break_with(
        Fault(kind=Break.REFUSE, method="HEAD", key="b.bin", status=404),
        Fault(kind=Break.REFUSE, method="PUT", key="b.bin", status=412, code="PreconditionFailed"),
    )
    with pytest.raises(ConflictError, match=r"b\.bin is published with"):
        storage.copy([(root / "a.bin", root / "b.bin")])
    assert storage.read(root / "b.bin") == present


def test_copies_report_progress(storage: S3Storage, root: StorageLocation) -> None:
    storage.upload([Upload(b"12345", root / "a.bin")])
    moved: list[tuple[str, int]] = []
    storage.copy([(root / "a.bin", root / "b.bin")], progress=lambda *step: moved.append(step))
    assert moved == [("b.bin", 5)]


@pytest.mark.parametrize("kind", [Break.TRUNCATE, Break.RESET])
def test_comparing_by_reading_survives_what_passes(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, kind: Break
) -> None:
    data = large(14, 3 * _MIB)
    location = root / "f.bin"
    S3Storage(_SETTINGS)._client.call("put_object", location, Key=location.key, Body=data)
    faulty.break_with(Fault(kind=kind, keep=1000))
    [transfer] = storage.upload([Upload(data, location)])
    assert transfer.outcome is Outcome.SAME


def test_nonsense_from_a_server_is_an_error(
    faulty: FaultyServer, storage: S3Storage, root: StorageLocation, tmp_path: Path
) -> None:
    storage.upload([Upload(b"hello", root / "f.bin")])
    faulty.break_with(Fault(kind=Break.REFUSE, times=100, status=200, code="NotAListing"))
    with pytest.raises(IntegrityError, match=r"f\.bin has \d+ bytes but 5 were expected"):
        storage.download([Download(root / "f.bin", tmp_path / "f", size=5)])
    faulty.break_with(Fault(kind=Break.CORRUPT, key="list-type", times=100))
    with pytest.raises(StorageError, match="list_objects_v2"):
        list(storage.list(root))
