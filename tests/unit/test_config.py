"""The configuration file: read, or refused and named."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirun import config
from minirun.errors import MinirunError

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(["10.0.0.0/8", "10.0.0.0/99", "fd00::/8"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["subnet", "ipam", "ranges"]), inner),
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"pools": []}', "unknown key 'pools'; the keys are 'default-address-pools', 'forkserver-idle-seconds', 'reg"),
        ('{"default-address-pools": {}}', "is not a list"),
        ('{"default-address-pools": ["10.0.0.0/8"]}', "is not of the form"),
        ('{"default-address-pools": [{"base": "10.0.0.0/8"}]}', "is not of the form"),
        (
            '{"default-address-pools": [{"base": "10.0.0.0/8", "size": true}]}',
            "base must be a string and size a number",
        ),
        ('{"default-address-pools": [{"base": "10.0.0.1/8", "size": 24}]}', "has host bits set"),
        ('{"default-address-pools": [{"base": "10.0.0.0/24", "size": 16}]}', "is not between 24 and 30"),
        ('{"default-address-pools": [{"base": "10.0.0.0/24", "size": 31}]}', "is not between 24 and 30"),
        ('{"default-address-pools": [{"base": "fd00::/48", "size": 127}]}', "is not between 48 and 126"),
        ('{"forkserver-idle-seconds": "60"}', "forkserver-idle-seconds is not a number of seconds from 1 to 604800"),
        ('{"forkserver-idle-seconds": true}', "is not a number of seconds"),
        ('{"forkserver-idle-seconds": 1.5}', "is not a number of seconds"),
        ('{"forkserver-idle-seconds": 0}', "is not a number of seconds"),
        ('{"forkserver-idle-seconds": 604801}', "is not a number of seconds"),
        ('{"registry-mirrors": "https://mirror.example"}', "registry-mirrors is not a list of strings"),
        ('{"registry-mirrors": ["mirror.example"]}', "'mirror.example' is not of the form https://HOST[:PORT]"),
        ('{"registry-mirrors": ["https://a@b"]}', "is not of the form https://HOST[:PORT]"),
        ('{"registry-mirrors": ["https://b/path"]}', "is not of the form https://HOST[:PORT]"),
        ('{"registry-mirrors": ["https://b:99999"]}', "is not of the form https://HOST[:PORT]"),
        ('{"insecure-registries": [5000]}', "insecure-registries is not a list of strings"),
        ('{"insecure-registries": ["http://b"]}', "'http://b' is neither HOST[:PORT] nor a network such as 10.0.0.0/8"),
        ('{"insecure-registries": ["10.0.0.0/33"]}', "is neither HOST[:PORT] nor a network"),
    ],
)
def test_a_wrong_configuration_is_refused_and_the_file_named(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    monkeypatch.setenv(config.VARIABLE, str(file))
    with pytest.raises(MinirunError) as raised:
        config.load()
    assert says in str(raised.value)
    assert str(file) in str(raised.value)


@pytest.mark.parametrize(("text", "seconds"), [("{}", 1800), ('{"forkserver-idle-seconds": 1}', 1)])
def test_the_idle_time_of_the_fork_server(text: str, seconds: int) -> None:
    assert config.parse(text.encode(), Path("x")).forkserver_idle_time == seconds


def test_the_fork_server_takes_the_defaults_where_the_file_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.json"
    monkeypatch.setenv(config.VARIABLE, str(file))
    for text, seconds in (("{", 1800), ('{"forkserver-idle-seconds": 60}', 60)):
        file.write_text(text)
        assert config.load_or_default().forkserver_idle_time == seconds


@given(
    st.binary()
    | st.tuples(st.sampled_from([config.POOLS, config.IDLE_TIME, config.MIRRORS, config.INSECURE]), json_like).map(
        lambda entry: json.dumps(dict([entry])).encode()
    )
)
def test_any_configuration_is_read_or_refused(text: bytes) -> None:
    with suppress(MinirunError):
        config.parse(text, Path("x"))
