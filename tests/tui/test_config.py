import ast
import inspect
import itertools
import re
import tomllib
from pathlib import Path

import pytest

from tui import config
from tui.config import Config, ConfigError, default_config_text, load_config, parse_config
from tui.paths import config_dir, ensure_private, state_dir, themes_dir

SSH = {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}


def test_no_file_means_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert load_config() == Config()


def test_the_users_own_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "midwatch").mkdir()
    (tmp_path / "midwatch" / "config.toml").write_text('theme = "midwatch-light"\n')
    assert load_config().theme == "midwatch-light"


def test_every_field_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        """
        theme = "midwatch-safe"
        kubeconfig = "/etc/kubernetes/admin.conf"
        context = "prod"
        namespace = "shop"
        refresh_hz = 2
        mouse = false
        animations = true
        dcgm = ["http://gpu-07:9400"]
        prometheus = "https://prometheus.example"
        prometheus_token_file = "/run/token"
        gpu_nodes = 0
        gpu_operator_namespace = "nvidia"
        vllm = ["http://10.0.0.7:8000"]
        vllm_servers = 4
        vllm_pods = ["serving/*"]
        vllm_skipped_pods = ["sandbox/*"]
        vllm_cacert = "/etc/ca.pem"
        oidc_renew = false
        [keys]
        copy = "y"
        table.down = ["n", "ctrl+n", ","]
        "table.up" = "p"
        """
    )
    assert load_config(file) == Config(
        "midwatch-safe",
        "/etc/kubernetes/admin.conf",
        "prod",
        "shop",
        2.0,
        False,
        True,
        {"copy": "y", "table.down": "n,ctrl+n,comma", "table.up": "p"},
        ("http://gpu-07:9400",),
        "https://prometheus.example",
        "/run/token",
        0,
        "nvidia",
        ("http://10.0.0.7:8000",),
        4,
        ("serving/*",),
        ("sandbox/*",),
        "/etc/ca.pem",
        oidc_renew=False,
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('them = "x"', "unknown key 'them'; did you mean 'theme'?"),
        ("zzz = 1", "unknown key 'zzz'"),
        ("theme = 3", "theme = 3: expected `str`, got `int`"),
        ("mouse = 1", "mouse = 1: expected `bool`, got `int`"),
        ('mouse = "no"', "mouse = 'no': expected `bool`, got `str`"),
        ("refresh_hz = 0", "refresh_hz = 0: expected `float` >= 0.5"),
        ("refresh_hz = 1000", "refresh_hz = 1000: expected `float` <= 30.0"),
        ("refresh_hz = nan", "refresh_hz = nan: expected `float` >= 0.5"),
        ("refresh_hz = true", "refresh_hz = True: expected `float`"),
        ('kubeconfig = "admin.conf"', "kubeconfig = 'admin.conf': expected an absolute path"),
        ('kubeconfig = "~nobody-of-that-name/x"', "kubeconfig = '~nobody-of-that-name/x'"),
        ("vllm_servers = -1", "vllm_servers = -1: expected `int` >= 0"),
        ('vllm_cacert = "ca.pem"', "vllm_cacert = 'ca.pem': expected an absolute path"),
        ("gpu_nodes = 257", "gpu_nodes = 257: expected `int` <= 256"),
        ('gpu_operator_namespace = "GPU/x"', "gpu_operator_namespace = 'GPU/x': expected `str` matching regex"),
        ('dcgm = "http://x"', "dcgm = 'http://x': expected `array`, got `str`"),
        ('dcgm = ["http://x", "foo"]', "dcgm = 'foo': not a URL; write it as http://HOST:PORT or https://HOST:PORT"),
        ('dcgm = [""]', "dcgm = '': not a URL"),
        ('prometheus = "foo"', "prometheus = 'foo': not a URL"),
        ('prometheus = "ftp://me:secret@x/"', "prometheus = 'ftp://x/': not a URL"),
        ('vllm = ["foo"]', "vllm = 'foo': not a URL"),
        ('vllm = ["http://x:8000?a=b"]', "vllm = 'http://x:8000?a=b': write it as http://HOST:PORT, without ? and #"),
        ('namespace = "Shop"', "namespace = 'Shop': not a name of a namespace (small letters"),
        ('namespace = "shop/../other"', "namespace = 'shop/../other': not a name of a namespace"),
        ('prometheus_token_file = "token"', "prometheus_token_file = 'token': expected an absolute path"),
        ("keys = 3", "keys = 3: expected a table"),
        ("[keys]\ncopy = 3", "keys.copy = 3: expected a key or a list of keys"),
        ("[keys]\ntable.down = [1]", "keys.table.down = [1]: expected a key"),
        ("theme =", "not TOML"),
        ("theme = 'a'\ntheme = 'b'", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)


def test_of_the_look_nothing_leads_to_a_cluster() -> None:
    own = Config("midwatch-light", "/k", "prod", "shop", 5.0, True, False, {"copy": "y"}, ("http://d",), "http://p")
    assert own.look == Config("midwatch-light", refresh_hz=5.0, mouse=True, animations=False, keys={"copy": "y"})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.toml: no such file"):
        load_config(tmp_path / "gone.toml")


def test_a_directory_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b'theme = "\xff"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "c.toml")


def test_the_home_directory_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ana")
    assert parse_config('kubeconfig = "~/.kube/prod"', "c").kubeconfig == "/home/ana/.kube/prod"
    assert parse_config('kubeconfig = ""', "c").kubeconfig == ""


def test_a_slow_line_is_spared_unless_told_otherwise() -> None:
    assert (Config().redraws_per_s({}), Config().redraws_per_s(SSH)) == (10.0, 4.0)
    assert (Config().takes_mouse({}), Config().takes_mouse(SSH)) == (True, False)
    assert (Config().animates({}), Config().animates({"SSH_TTY": "/dev/pts/1"})) == (True, False)
    told = Config(refresh_hz=7.0, mouse=True, animations=True)
    assert (told.redraws_per_s(SSH), told.takes_mouse(SSH), told.animates(SSH)) == (7.0, True, True)
    assert not Config(mouse=False).takes_mouse({})


def test_the_sample_changes_nothing_as_it_stands() -> None:
    assert parse_config(default_config_text(), "sample") == Config()


def test_the_sample_shows_every_field_with_its_default() -> None:
    uncommented = re.sub(r'^# (?=["a-z_.]+ = )', "", default_config_text(), flags=re.MULTILINE)
    shown = tomllib.loads(uncommented)
    assert set(shown) == set(Config.__struct_fields__)
    read = parse_config(uncommented, "sample")
    assert (read.theme, read.kubeconfig, read.context, read.namespace) == (Config().theme, "", "", "")
    assert read.redraws_per_s(SSH) == Config().redraws_per_s({})
    assert (read.mouse, read.animations) == (Config().takes_mouse({}), Config().animates({}))
    assert read.keys


def test_every_field_says_what_it_is() -> None:
    body = ast.parse(inspect.getsource(config)).body
    fields = next(node for node in body if isinstance(node, ast.ClassDef) and node.name == "Config").body
    for field, after in itertools.pairwise(fields):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(after, ast.Expr), ast.unparse(field)
            assert isinstance(after.value, ast.Constant)


def test_directories_follow_the_xdg_variables_and_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    assert config_dir() == tmp_path / "c" / "midwatch"
    assert themes_dir() == tmp_path / "c" / "midwatch" / "themes"
    assert state_dir() == tmp_path / "s" / "midwatch"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_is_made_private(tmp_path: Path) -> None:
    made = ensure_private(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    assert ensure_private(made) == made
