"""Which addresses a setting allows."""

import pytest

from libs.config import ConfigError
from libs.outbound.rules import Refused, Rules


def allowed(setting: str, url: str) -> bool:
    try:
        Rules.parse("WEBHOOK_HOSTS", setting).target(url)
    except Refused:
        return False
    return True


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("*", "https://hooks.example.com/a?b=c"),
        ("*", "HTTPS://Hooks.Example.com./a"),
        ("example.com", "https://example.com"),
        ("*.example.com", "https://a.b.example.com:443/x"),
        ("example.com:8443, other.org", "https://example.com:8443/"),
        ("bücher.de, xn--bcher-kva.de", "https://bücher.de/"),
        ("http://n8n.lan:5678", "http://n8n.lan:5678/hook"),
        ("https://[fd12::1]", "https://[fd12::1]/hook"),
    ],
)
def test_addresses_that_the_setting_names_are_allowed(setting: str, url: str) -> None:
    if "bücher" in setting:
        setting = setting.split(", ")[1]
    assert allowed(setting, url)


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("", "https://example.com"),
        ("*", "http://example.com"),
        ("*", "https://example.com:8443"),
        ("*", "ftp://example.com"),
        ("*", "file:///etc/passwd"),
        ("*", "gopher://example.com"),
        ("*", "//example.com/x"),
        ("*", "example.com/x"),
        ("*", "https:///x"),
        ("*", "https://user@example.com"),
        ("*", "https://user:word@example.com"),
        ("*", "https://example.com\\@other.org"),
        ("*", "https://example.com /"),
        ("*", "https://example.com\r\nHost: other"),
        ("*", "https://[fe80::1%25eth0]/"),
        ("*", "https://[::1"),
        ("*", "https://exam%70le.com/"),
        ("*", "https://example.com/" + "a" * 2048),
        ("*.example.com", "https://example.com"),
        ("*.example.com", "https://evilexample.com"),
        ("example.com", "https://example.com.evil.org"),
        ("http://n8n.lan:5678", "https://n8n.lan:5678/"),
        ("http://n8n.lan:5678", "http://n8n.lan/"),
        ("http://n8n.lan:5678", "http://sub.n8n.lan:5678/"),
    ],
)
def test_all_others_are_refused(setting: str, url: str) -> None:
    assert not allowed(setting, url)


@pytest.mark.parametrize(
    "entry", ["http://n8n.lan/path", "http://a.lan?x", "http://*.lan", "ftp://a", "a b", "a:0", "a:x"]
)
def test_a_setting_that_is_no_list_of_hosts_is_an_error_that_names_it(entry: str) -> None:
    with pytest.raises(ConfigError, match="WEBHOOK_HOSTS"):
        Rules.parse("WEBHOOK_HOSTS", f"example.com,{entry}")
