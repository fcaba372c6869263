"""What sandboxes can see of each other's names, as the store has them."""

from __future__ import annotations

import sqlite3

import pytest
from netaddr import IPAddress

import pycnm
from pycnm.engine.naming import Naming


@pytest.fixture
def reader(cnm, tmp_path):
    connection = sqlite3.connect(f"file:{tmp_path}/cnm.db?mode=ro", uri=True)
    yield connection
    connection.close()


@pytest.fixture
def naming(reader):
    found = Naming(reader)
    assert found.refresh()
    return found


def find(view, name):
    found = view.find(tuple(name.encode().split(b".")))
    return None if found is None else [str(each) for each in found.addresses(4)]


def connect(cnm, network, name, **wishes):
    if name not in cnm.sandbox_names():
        cnm.create_sandbox(name)
    return cnm.network(network).connect(name, **wishes)


@pytest.fixture
def blue(cnm):
    return cnm.create_network("blue", subnet="10.1.0.0/24")


@pytest.fixture
def red(cnm):
    return cnm.create_network("red", subnet="10.2.0.0/24", internal=True)


def test_all_its_names_and_the_first_is_the_sandboxs(cnm, blue, naming):
    box = cnm.create_sandbox("c2", hostname="Db.example")
    blue.connect(box, name="endpoint", aliases=["web", "WEB", "c2"])
    view = naming.view(box.id)
    (segment,) = view.segments
    (member,) = segment.members
    assert member.names == ("c2", "web", "endpoint", box.id[:12], "Db.example")
    assert view.reverse(IPAddress("10.1.0.2").packed) == "c2.blue"
    for name in (*member.names, *(f"{name}.blue" for name in member.names)):
        assert find(view, name.lower()) == ["10.1.0.2"], name


def test_only_what_is_on_its_own_networks(cnm, blue, red, naming):
    one, two, three = (cnm.create_sandbox(name) for name in ("one", "two", "three"))
    blue.connect(one)
    blue.connect(two)
    red.connect(two)
    red.connect(three)
    assert find(naming.view(one.id), "two") == ["10.1.0.3"]
    assert find(naming.view(one.id), "three") is None
    assert find(naming.view(one.id), "two.red") is None
    assert find(naming.view(three.id), "two") == ["10.2.0.2"]
    assert find(naming.view(two.id), "three.red") == ["10.2.0.3"]
    assert [segment.network for segment in naming.view(two.id).segments] == ["blue", "red"]
    assert [naming.view(box.id).internal for box in (one, two, three)] == [False, False, True]
    everything = naming.everything()
    assert [segment.network for segment in everything.segments] == ["bridge", "blue", "red"]
    assert find(everything, "two.red") == ["10.2.0.2"]
    assert find(everything, "two") is None


def test_the_order_is_that_of_its_default_routes(cnm, blue, red, naming):
    green = cnm.create_network("green", subnet="10.3.0.0/24")
    box = cnm.create_sandbox("c2")
    for network, priority in ((red, 0), (green, 0), (blue, 5)):
        network.connect(box, gateway_priority=priority)
    assert [segment.network for segment in naming.view(box.id).segments] == [
        "blue",
        "green",
        "red",
    ]


def test_nobody_down_left_or_never_joined_is_answered(cnm, kernel, blue, naming, tmp_path):
    c1, c2 = cnm.create_sandbox("c1"), cnm.create_sandbox("c2")
    blue.connect(c1)
    end = blue.connect(c2)
    blue.create_endpoint("waiting", aliases=["web"])
    assert find(naming.view(c1.id), "c2") == ["10.1.0.3"]
    assert find(naming.view(c1.id), "waiting") is None
    assert find(naming.view(c1.id), "web") is None
    end.leave()
    assert naming.refresh()
    assert find(naming.view(c1.id), "c2") is None
    end.join(c2)
    naming.refresh()
    assert find(naming.view(c1.id), "c2") == ["10.1.0.3"]
    c2.delete()
    naming.refresh()
    assert find(naming.view(c1.id), "c2") is None
    assert naming.view(c2.id) is None
    cnm.close()
    with pycnm.Controller(tmp_path, kernel=type(kernel)()) as again:
        naming.refresh()
        assert naming.view(c1.id) is None
        again.sandbox("c1").start()
        naming.refresh()
        assert find(naming.view(c1.id), "c1") == ["10.1.0.2"]


def test_what_is_pending_is_not_answered(cnm, kernel, blue, naming, monkeypatch):
    c1, c2 = cnm.create_sandbox("c1"), cnm.create_sandbox("c2")
    blue.connect(c1)
    seen = []
    run, attempt = kernel.run, kernel.attempt

    def look(what):
        def wrapped(undo, do):
            naming.refresh()
            seen.append(find(naming.view(c1.id), "c2"))
            what(undo, do)

        return wrapped

    monkeypatch.setattr(kernel, "run", look(run))
    monkeypatch.setattr(kernel, "attempt", look(attempt))
    blue.connect(c2)
    blue.disconnect(c2)
    assert seen == [None, None]


def test_a_view_is_the_same_until_something_in_it_changes(cnm, blue, red, naming):
    c1, c2 = cnm.create_sandbox("c1"), cnm.create_sandbox("c2")
    end = blue.connect(c1)
    naming.refresh()
    view, everything = naming.view(c1.id), naming.everything()
    assert not naming.refresh()
    assert naming.view(c1.id) is view
    red.connect(c2)
    assert naming.refresh()
    assert naming.view(c1.id) is view
    assert naming.everything() is not everything
    end.configure(aliases=["web"])
    naming.refresh()
    assert naming.view(c1.id) is not view
    assert find(naming.view(c1.id), "web") == ["10.1.0.2"]
    view = naming.view(c1.id)
    end.publish("8080:80")
    naming.refresh()
    assert naming.view(c1.id) is not view
    assert naming.view(c1.id).segments[0].members[0].ports == (("tcp", 80),)
    view = naming.view(c1.id)
    blue.rename("azure")
    naming.refresh()
    assert naming.view(c1.id) is not view
    assert find(naming.view(c1.id), "c1.azure") == ["10.1.0.2"]


def test_servers_and_ndots_are_the_users(cnm, blue, naming):
    plain = cnm.create_sandbox("plain")
    own = cnm.create_sandbox("own", dns=["192.0.2.53"], dns_options=["ndots:2"])
    none = cnm.create_sandbox("none", dns_options=["ndots:0", "rotate"])
    assert (naming.view(plain.id).servers, naming.view(plain.id).ndots) == ((), False)
    assert (naming.view(own.id).servers, naming.view(own.id).ndots) == (("192.0.2.53",), True)
    assert naming.view(none.id).ndots is False


def test_a_sandbox_on_no_network_sees_nothing_and_asks_nobody(cnm, naming):
    view = naming.view(cnm.create_sandbox("c1").id)
    assert (view.segments, view.internal) == ((), True)
    assert naming.view("f" * 64) is None


def test_damage_is_passed_over(cnm, blue, naming, tmp_path):
    for name in ("c1", "c2"):
        connect(cnm, "blue", name)
    with sqlite3.connect(tmp_path / "cnm.db") as tx:
        tx.execute("UPDATE endpoints SET spec = '{' WHERE name = 'c2'")
    tx.close()
    naming.refresh()
    view = naming.view(cnm.sandbox("c1").id)
    assert find(view, "c1") == ["10.1.0.2"]
    assert find(view, "c2") is None


def test_the_host_resolves_and_lists(cnm, blue, red):
    connect(cnm, "blue", "c1", aliases=["web"])
    connect(cnm, "blue", "c2", aliases=["web"])
    connect(cnm, "red", "c2")
    short = cnm.sandbox("c1").id[:12]
    assert [str(each) for each in cnm.resolve("WEB")] == ["10.1.0.2", "10.1.0.3"]
    assert [str(each) for each in cnm.resolve("c2")] == ["10.1.0.3", "10.2.0.2"]
    assert [str(each) for each in cnm.resolve("c2.red.")] == ["10.2.0.2"]
    assert cnm.resolve("nobody") == []
    assert blue.names.splitlines()[0] == (f"10.1.0.2\tc1 web {short} c1.blue web.blue {short}.blue")
    assert cnm.network("none").names == ""
    for wrong in ("", ".", "a..b", 3, None, "a\nb"):
        with pytest.raises(pycnm.InvalidArgumentError):
            cnm.resolve(wrong)
    assert cnm.sandbox("c1").endpoints[0].inspect()["DNSNames"] == ["c1", "web", short]


def test_networks_that_are_gone_are_forgotten(cnm, naming):
    for number in range(3):
        network = cnm.create_network(f"net{number}")
        naming.refresh()
        naming.everything()
        network.delete()
    cnm.create_network("last")
    naming.refresh()
    naming.everything()
    assert len(naming._known) == len(cnm.networks()) - 2
