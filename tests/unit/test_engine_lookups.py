"""References: a full id, a name, or a unique beginning of an id, in Docker's order."""

from __future__ import annotations

import itertools

import pytest

import pycnm
from pycnm.errors import InvalidArgumentError, NotFoundError
from pycnm.testing import FakeKernel

IDS = ["abcdef" + 58 * "0", "abcd99" + 58 * "0", "77" + 62 * "0", "78" + 62 * "0", "79" + 62 * "0"]


@pytest.fixture
def cnm(tmp_path, monkeypatch):
    with pycnm.Controller(tmp_path, kernel=FakeKernel()) as controller:
        ids = itertools.chain(IDS, itertools.repeat(None))
        for module in ("networks", "sandboxes"):
            made = getattr(pycnm.engine, module).new_id
            monkeypatch.setattr(
                f"pycnm.engine.{module}.new_id", lambda made=made: next(ids) or made()
            )
        yield controller


@pytest.fixture(params=["network", "sandbox"])
def kind(request, cnm):
    """How to make such a thing, and how to find it."""
    make = {"network": cnm.create_network, "sandbox": cnm.create_sandbox}[request.param]
    find = {"network": cnm.network, "sandbox": cnm.sandbox}[request.param]
    return request.param, make, find


def test_by_id_name_and_prefix(kind):
    _, make, find = kind
    first, second = make("one"), make("two")
    assert (first.id, second.id) == tuple(IDS[:2])
    for reference in (IDS[0], "one", "abcdef", "abcde", IDS[0][:63]):
        assert find(reference) == first
    assert find("abcd99") == second


@pytest.mark.parametrize("prefix", ["a", "abcd"])
def test_ambiguous(kind, prefix):
    what, make, find = kind
    make("one")
    make("two")
    with pytest.raises(InvalidArgumentError, match=rf"{what} {prefix} is ambiguous"):
        find(prefix)


def test_a_name_goes_before_a_prefix(kind):
    _, make, find = kind
    make("one")
    make("two")
    named = make("abcd")
    assert find("abcd") == named


def test_an_id_goes_before_a_name(kind):
    _, make, find = kind
    first = make("one")
    make(IDS[0])
    assert find(IDS[0]) == first


@pytest.mark.parametrize("reference", ["nothing", "ABCDEF", "abcdeg", "one ", IDS[2]])
def test_nothing(kind, reference):
    what, make, find = kind
    assert make("other").id == IDS[0]
    with pytest.raises((NotFoundError, InvalidArgumentError)) as caught:
        find(reference)
    if isinstance(caught.value, NotFoundError):
        assert f"{what} {reference} not found; `cnm {what} ls` shows" in str(caught.value)


def test_what_is_deleted_is_not_found(kind):
    _, make, find = kind
    made = make("one")
    made.delete()
    for reference in ("one", IDS[0], "abcdef"):
        with pytest.raises(NotFoundError):
            find(reference)
    assert "deleted" in repr(made)


def test_predefined_networks_are_found_too(cnm):
    for name in ("bridge", "host", "none"):
        assert cnm.network(name).name == name
        assert cnm.network(cnm.network(name).id[:12]).name == name


def test_handles_are_equal_if_they_mean_the_same(cnm):
    net, box = cnm.create_network("front"), cnm.create_sandbox("c1")
    end = net.connect(box)
    assert {net, cnm.network("front")} == {net}
    assert {box, cnm.sandbox("c1"), end.sandbox} == {box}
    assert {end, *net.endpoints, *box.endpoints} == {end}
    assert net not in (box, end)


def test_no_two_endpoints_begin_with_the_same_digits(cnm, monkeypatch):
    """Their interfaces on the host are named by them."""
    ids = iter(["abcdef1" + 57 * "0", "abcdef1" + 57 * "1", "abcdef2" + 57 * "0"])
    monkeypatch.setattr("pycnm.engine.joining.new_id", lambda: next(ids))
    network = cnm.create_network("net", subnet="10.0.0.0/24")
    found = [network.connect(cnm.create_sandbox(name)).host_interface for name in ("one", "two")]
    assert found == ["vethabcdef1", "vethabcdef2"]
