"""How to reach etcd, from command line and configuration: what is taken, and what is refused by name."""

from pathlib import Path
from typing import Any

import pytest

from tests.tui.commands import midwatch
from tui.config import Config
from tui.etcd_options import EtcdArguments, EtcdChoice, etcd_choice
from tui.exits import UsageProblem

PEM = "-----BEGIN CERTIFICATE-----\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(PEM)
    return {name: tmp_path / name for name in ("ca", "cert", "key")}


def chosen(config: Config | None = None, **given: Any) -> EtcdChoice:
    return etcd_choice(EtcdArguments(**given), config or Config(), "/etc/own.toml")


def endpoints(choice: EtcdChoice) -> tuple[str, ...]:
    assert choice.options is not None
    return choice.options.endpoints


def test_nothing_said_is_nothing_chosen() -> None:
    assert chosen() == EtcdChoice(None)


def test_several_urls_stand_in_one_value_or_in_several() -> None:
    choice = chosen(endpoints=("https://a:2379, https://b:2379/", "https://c:2379"))
    assert endpoints(choice) == ("https://a:2379", "https://b:2379", "https://c:2379")
    assert choice.notes == ()


def test_an_address_without_a_scheme_is_taken_as_etcdctl_takes_it_and_that_is_said(files: dict[str, Path]) -> None:
    plain = chosen(endpoints=("10.0.0.1:2379",))
    assert endpoints(plain) == ("http://10.0.0.1:2379",)
    (note,) = plain.notes
    assert note == "--etcd-endpoints 10.0.0.1:2379: taken as http://10.0.0.1:2379, as no certificate is given"
    secure = chosen(endpoints=("[::1]:2379",), cacert=files["ca"])
    assert endpoints(secure) == ("https://[::1]:2379",)
    assert "as a certificate is given" in secure.notes[0]


def test_the_command_line_wins_over_the_configuration(files: dict[str, Path]) -> None:
    config = Config(etcd_endpoints=("https://conf:2379",), etcd_cacert=str(files["ca"]), etcd_metrics=("conf:2381",))
    choice = chosen(config, endpoints=("https://given:2379",))
    assert choice.options is not None
    assert choice.options.endpoints == ("https://given:2379",)
    assert choice.options.cacert == str(files["ca"])
    assert choice.options.metrics_urls == ("http://conf:2381",)
    assert choice.notes[0].startswith("/etc/own.toml: etcd_metrics conf:2381: taken as")


def test_certificate_and_key_come_from_the_same_place(files: dict[str, Path]) -> None:
    config = Config(etcd_cert=str(files["cert"]), etcd_key=str(files["key"]))
    assert chosen(config).options is not None
    with pytest.raises(UsageProblem, match=r"--etcd-cert .*/cert needs --etcd-key too"):
        chosen(config, cert=files["cert"])
    with pytest.raises(UsageProblem, match=r"^/etc/own.toml: etcd_key .*/key needs /etc/own.toml: etcd_cert too"):
        chosen(Config(etcd_key=str(files["key"])))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"endpoints": (" , ",)}, "--etcd-endpoints: no URL given"),
        ({"endpoints": ("ftp://a:1",)}, "--etcd-endpoints 'ftp://a:1': not a URL"),
        ({"endpoints": ("https://a:2379/v3",)}, "write it as https://HOST:PORT"),
        ({"endpoints": ("https://me:secret@a:2379",)}, "--etcd-endpoints 'https://a:2379'"),
        ({"endpoints": ("https://a:99999",)}, "not a URL"),
        ({"metrics": ("http://a:2381/metrics",)}, "--etcd-metrics 'http://a:2381/metrics'"),
    ],
)
def test_what_is_no_url_of_a_member_is_refused_by_name(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageProblem) as raised:
        chosen(**given)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_files_that_cannot_be_used_are_named(tmp_path: Path, files: dict[str, Path]) -> None:
    with pytest.raises(UsageProblem, match=r"--etcd-cacert .*/nowhere: cannot be read: No such file"):
        chosen(cacert=tmp_path / "nowhere")
    files["cert"].write_bytes(b"\x30\x82\x01")
    with pytest.raises(UsageProblem, match=r"--etcd-cert .*/cert: not a PEM file"):
        chosen(cert=files["cert"], key=files["key"])
    with pytest.raises(UsageProblem, match=r"^/etc/own.toml: etcd_cacert .*: cannot be read: Is a directory"):
        chosen(Config(etcd_cacert=str(tmp_path)))


async def test_a_usage_error_is_one_line_and_64(tmp_path: Path) -> None:
    half = await midwatch(tmp_path, "check", "--etcd-cert", "x")
    assert half.code == 64
    assert half.complaint == f"--etcd-cert {tmp_path / 'x'} needs --etcd-key too: certificate and key are a pair"
    dump = await midwatch(tmp_path, "check", "--dump", "x", "--etcd-endpoints", "https://a:2379")
    assert dump.code == 64
    assert dump.complaint == "--dump judges files: leave --local and what begins with --etcd out"
