"""Settings are looked at through a mount of proc that nobody else has."""

from __future__ import annotations

import os

import pytest

from pycnm.errors import PermissionDeniedError
from pycnm.kernel import sysctl
from pycnm.kernel.sysctl import Settings

KEY = "net/ipv4/conf/lo/forwarding"


@pytest.fixture
def settings():
    made = Settings()
    yield made
    made.close()


def device(settings):
    return os.fstat(settings._proc.descriptor).st_dev


def test_the_mount_is_its_own_and_renewed_before_it_remembers_too_much(host, settings, monkeypatch):
    monkeypatch.setattr(sysctl, "_MANY", 3)
    seen = []
    for _ in range(7):
        assert host.do(lambda: settings.read(KEY)) == "0"
        seen.append(settings._proc)
    assert device(settings) != os.stat("/proc").st_dev
    assert [each is seen[0] for each in seen] == 3 * [True] + 4 * [False]
    assert seen[3] is seen[5]
    assert seen[6] is not seen[5]


def test_each_namespace_has_its_own(host, outside, settings):
    host.do(lambda: settings.write(KEY, "1"))
    assert [place.do(lambda: settings.read(KEY)) for place in (host, outside)] == ["1", "0"]
    assert settings.read("net.ipv4.no_such_setting") is None
    with pytest.raises(FileNotFoundError):
        settings.write("net.ipv4.no_such_setting", "1")


@pytest.mark.parametrize("error", [PermissionDeniedError, OSError])
def test_where_it_may_not_be_mounted_the_machine_s_own_serves(host, settings, monkeypatch, error):
    def refused():
        raise error("it may not")

    monkeypatch.setattr(sysctl, "_mount", refused)
    assert host.do(lambda: settings.read(KEY)) == "0"
    assert device(settings) == os.stat("/proc").st_dev
