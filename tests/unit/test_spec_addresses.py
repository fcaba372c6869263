"""Addresses, subnets and MAC addresses: strict in, netaddr out."""

from __future__ import annotations

import ipaddress
import re
from functools import partial

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from pycnm.errors import InvalidArgumentError, OutOfSubnetError
from pycnm.spec import addresses, macs


class Unprintable:
    def __repr__(self):
        raise RuntimeError


def outcome(check, value):
    """What `check` makes of `value`; None if it refuses it as it should."""
    try:
        return check(value)
    except InvalidArgumentError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400
    return None


V4 = IPNetwork("10.20.30.0/24")
V6 = IPNetwork("fd00:1::/64")
NOT_TEXT = [None, 5, 0x0A141E04, True, b"10.0.0.1", 1.5, ["10.0.0.1"], {}, Unprintable()]
ADDRESS_LIKE = st.text(alphabet="0123456789abcdefx.:/%-+ _\n\0٣", max_size=45)
ANYTHING = st.one_of(
    st.text(),
    ADDRESS_LIKE,
    st.tuples(st.ip_addresses().map(str), st.sampled_from(["/", "%", ""]), ADDRESS_LIKE).map(
        "".join
    ),
    st.ip_addresses(),
    st.ip_addresses().map(lambda value: IPAddress(str(value))),
    st.tuples(st.ip_addresses(), st.integers(0, 32)).map(
        lambda pair: IPNetwork(f"{pair[0]}/{pair[1]}")
    ),
    st.integers(),
    st.binary(),
    st.none(),
    st.lists(st.text()),
    st.just(10**5000),
    st.just(Unprintable()),
)  # fmt: skip


def refused(match, error=InvalidArgumentError):
    return pytest.raises(error, match=match)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.20.30.4", "10.20.30.4"),
        ("0.0.0.0", "0.0.0.0"),
        ("FD00::0:4", "fd00::4"),
        ("::", "::"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
        (IPAddress("10.20.30.4"), "10.20.30.4"),
        (ipaddress.ip_address("10.20.30.4"), "10.20.30.4"),
        (ipaddress.ip_address("fd00::4"), "fd00::4"),
    ],
)
def test_addresses(value, text):
    result = addresses.address(value)
    assert type(result) is IPAddress
    assert str(result) == text


def test_an_address_is_a_copy_because_netaddr_changes_in_place():
    mine = IPAddress("10.20.30.4")
    result = addresses.address(mine)
    mine += 1
    assert str(result) == "10.20.30.4"
    subnet = IPNetwork("10.20.30.0/24")
    result = addresses.subnet(subnet)
    subnet += 1
    assert str(result) == "10.20.30.0/24"


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "1", "1.2", "1.2.3", "1.2.3.4.5", "0x7f.1", "0x7f.0.0.1", "010.0.0.1", "10.0.0.01",
        "256.0.0.1", "-1.0.0.1", " 10.0.0.1", "10.0.0.1 ", "10.0.0.1\n", "10.0.0.1\0", "10.0.0.1/8",
        "10,0,0,1", "\u0661.0.0.1", "fe80::1%eth0", "fe80::1%1", ":::", "1::2::3",
        "12345::", "[::1]", "::/0", "0.0.0.0/0", "::ffff:1.2.3.04",
        "localhost", "\udc80", "1" * 1000, ":" * 1000, IPNetwork("10.0.0.0/8"),
        ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_interface("10.0.0.1/8"),
        ipaddress.ip_address("fe80::1%eth0"),
        EUI("02:42:0a:14:1e:04"), *NOT_TEXT,
    ],
)  # fmt: skip
def test_what_is_no_address(value):
    with refused("^invalid gateway: .*; (it should be|leave the)"):
        addresses.address(value, "gateway")


def test_an_address_is_refused_in_dockers_words_and_with_advice():
    with refused("^invalid IPv4 address: fd00::4; it should be an IPv4 address, such as 10"):
        addresses.address("fd00::4", "IPv4 address", version=4)
    with refused("^invalid IPv6 address: 10.0.0.1; it should be an IPv6 address, such as fd00"):
        addresses.address("10.0.0.1", "IPv6 address", version=6)
    with refused("^invalid IPv4 address: x; it should be an address such as 10.20.30.4, without"):
        addresses.address("x", "IPv4 address", version=4)
    with refused("10.0.0.1/8; leave the prefix length out: 10.0.0.1$"):
        addresses.address("10.0.0.1/8")
    with refused("fe80::1%eth0; leave the scope id out: fe80::1$"):
        addresses.address("fe80::1%eth0")
    with refused("0.0.0.0/0; leave the prefix length out: 0.0.0.0$"):
        addresses.address("0.0.0.0/0")
    with refused("::ffff:10.0.0.1; write the IPv4 address it stands for: 10.0.0.1$"):
        addresses.address("::ffff:10.0.0.1")


@pytest.mark.parametrize(
    ("value", "text"),
    [("0.0.0.0", "0.0.0.0"), ("::", "::"), ("127.0.0.1", "127.0.0.1"), ("::1", "::1"),
     ("::ffff:10.0.0.1", "10.0.0.1"), ("fd00::1", "fd00::1"), ("169.254.1.1", "169.254.1.1")],
)  # fmt: skip
def test_addresses_to_publish_at(value, text):
    assert str(addresses.listen_address(value)) == text


@pytest.mark.parametrize(
    "value",
    ["224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "fe80::1", "febf::1", "x", "",
     "::ffff:224.0.0.1", *NOT_TEXT],
)  # fmt: skip
def test_addresses_no_port_can_be_published_at(value):
    with refused("^invalid host address: .*; it "):
        addresses.listen_address(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.20.30.0/24", "10.20.30.0/24"),
        ("10.0.0.1/32", "10.0.0.1/32"),
        ("10.0.0.0/31", "10.0.0.0/31"),
        ("169.254.0.0/16", "169.254.0.0/16"),
        ("240.0.0.0/8", "240.0.0.0/8"),
        ("64.0.0.0/3", "64.0.0.0/3"),
        ("FD00:0::/64", "fd00::/64"),
        ("fe80::/64", "fe80::/64"),
        ("fe80:1234::/80", "fe80:1234::/80"),
        ("2000::/3", "2000::/3"),
        (IPNetwork("10.20.30.0/24"), "10.20.30.0/24"),
        (ipaddress.ip_network("10.20.30.0/24"), "10.20.30.0/24"),
        (ipaddress.ip_interface("10.20.30.0/24"), "10.20.30.0/24"),
        (ipaddress.ip_network("fd00::/64"), "fd00::/64"),
    ],
)
def test_subnets(value, text):
    result = addresses.subnet(value)
    assert type(result) is IPNetwork
    assert str(result) == text


@pytest.mark.parametrize(
    "value",
    [
        "", "/", "10.0.0.0", "fd00::", "10.0.0.0/", "/24", "10/8", "10.0/16", "10.0.0.0/33",
        "fd00::/129", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/ 8", "10.0.0.0/8 ",
        "10.0.0.0/8\n", "10.0.0.0/255.0.0.0", "10.0.0.0/0.255.255.255", "10.0.0.0/8/8",
        "010.0.0.0/8", "10.0.0.0/\u0668", "10.0.0.0/1_6", "fe80::%eth0/64", "fd00::/ffff::",
        "10.0.0.0/8\0", "\udc80/8", IPAddress("10.0.0.0"), ipaddress.ip_address("10.0.0.0"), (1,
        8), *NOT_TEXT,
    ],
)  # fmt: skip
def test_what_is_no_subnet(value):
    with refused(r"^invalid pool .*: it (should be an address and|needs a prefix length)"):
        addresses.subnet(value, "pool")
    with refused(r"^invalid ip-range .*: it (should be an address and|needs a prefix length)"):
        addresses.ip_range(value, V4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("10.20.30.1/24", "invalid subnet 10.20.30.1/24: it should be 10.20.30.0/24"),
        ("fd00::1/64", "invalid subnet fd00::1/64: it should be fd00::/64"),
        (IPNetwork("10.0.0.1/8"), "invalid subnet 10.0.0.1/8: it should be 10.0.0.0/8"),
        (
            ipaddress.ip_interface("10.0.0.1/8"),
            "invalid subnet 10.0.0.1/8: it should be 10.0.0.0/8",
        ),
        ("224.0.0.0/24", "multicast subnet '224.0.0.0/24' is not allowed; use one from 10"),
        ("192.0.0.0/2", "multicast subnet '192.0.0.0/2' is not allowed; use one from 10"),
        ("ff00::/56", "multicast subnet 'ff00::/56' is not allowed; use one from fd00::/8"),
        ("fe80::/63", "'fe80::/63' clashes with the Link-Local prefix 'fe80::/64'; use"),
        ("fe80::/80", "'fe80::/80' clashes with the Link-Local prefix 'fe80::/64'; use"),
        ("::ffff:10.0.0.0/104", "'::ffff:10.0.0.0/104' is not a valid IPv6 subnet, IPv4"),
        ("::ffff:0:0/96", "is not a valid IPv6 subnet"),
        ("127.0.0.0/24", "invalid subnet 127.0.0.0/24: it overlaps the loopback addresses 127"),
        ("64.0.0.0/2", "it overlaps the loopback addresses"),
        ("0.0.0.0/0", "multicast subnet '0.0.0.0/0' is not allowed"),
        ("0.0.0.0/24", "it overlaps 0.0.0.0/8, which means 'this network'"),
        ("255.255.255.255/32", "it overlaps the broadcast address 255.255.255.255"),
        ("240.0.0.0/4", "it overlaps the broadcast address 255.255.255.255"),
        ("::/0", "multicast subnet '::/0' is not allowed"),
        ("::1/128", "it overlaps the unspecified and the loopback address"),
        ("::/64", "is not a valid IPv6 subnet"),
        ("10.20.30.0", "it needs a prefix length, as in 10.20.30.0/24"),
        ("fd00:1::2", "it needs a prefix length, as in fd00:1::/96"),
    ],
)
def test_subnets_no_network_can_have(value, message):
    with refused(re.escape(message)):
        addresses.subnet(value)


@pytest.mark.parametrize("text", ["0.0.0.0/0", "0.0.0.0/24", "::/0", "::/120"])
def test_an_unspecified_subnet_is_a_size_where_one_is_wanted(text):
    assert str(addresses.subnet(text, unspecified=True)) == text
    with refused("it should be 0.0.0.0/24"):
        addresses.subnet("0.0.0.1/24", unspecified=True)
    with refused("multicast"):
        addresses.subnet("224.0.0.0/24", unspecified=True)


@pytest.mark.parametrize(
    ("address", "subnet"),
    [
        ("10.20.30.1", "10.20.30.0/24"), ("10.20.30.254", "10.20.30.0/24"),
        ("10.20.30.128", "10.20.30.0/24"), ("10.0.0.0", "10.0.0.0/31"), ("10.0.0.1", "10.0.0.0/31"),
        ("10.0.0.7", "10.0.0.7/32"), ("fd00:1::1", "fd00:1::/64"),
        ("fd00:1::ffff:ffff:ffff:ffff", "fd00:1::/64"), ("fd00::", "fd00::/127"),
        ("fd00::7", "fd00::7/128"),
    ],
)  # fmt: skip
def test_addresses_an_interface_can_have(address, subnet):
    value = IPAddress(address)
    assert addresses.assignable(value, IPNetwork(subnet)) == value
    assert addresses.gateway(address, IPNetwork(subnet)) == value
    assert addresses.endpoint_address(address, [V6, IPNetwork(subnet)]) == value


@pytest.mark.parametrize(
    ("address", "subnet", "error", "message"),
    [
        ("10.20.30.0", V4, InvalidArgumentError, "10.20.30.0: it is the network address of 10"),
        ("10.20.30.255", V4, InvalidArgumentError, ("it is the broadcast address of "
         "10.20.30.0/24; choose one from 10.20.30.1 to 10.20.30.254")),
        ("fd00:1::", V6, InvalidArgumentError, "it is the subnet-router anycast address of"),
        ("10.20.31.1", V4, OutOfSubnetError, ("invalid gateway 10.20.31.1: parent subnet "
         "10.20.30.0/24 doesn't contain this address; choose one from 10.20.30.1 to 10.20.30.254")),
        ("fd00:2::1", V6, OutOfSubnetError, ("parent subnet fd00:1::/64 doesn't contain this "
         "address; choose one from fd00:1::1 to fd00:1::ffff:ffff:ffff:ffff")),
        ("10.0.0.2", IPNetwork("10.0.0.0/31"), OutOfSubnetError, "from 10.0.0.0 to 10.0.0.1"),
        ("10.20.30.1", V6, InvalidArgumentError, "10.20.30.1: parent subnet is an IPv6 block; "),
        ("fd00:1::1", V4, InvalidArgumentError, "fd00:1::1: parent subnet is an IPv4 block; "),
        ("10.20.30", V4, InvalidArgumentError, "invalid gateway: 10.20.30; it should be an"),
    ],
)  # fmt: skip
def test_gateways_a_subnet_cannot_have(address, subnet, error, message):
    with refused(re.escape(message)) as info:
        addresses.gateway(address, subnet)
    assert type(info.value) is error


def test_inside_takes_network_and_broadcast_addresses():
    assert addresses.inside(V4.network, V4) == V4.network
    assert addresses.inside(V4.broadcast, V4) == V4.broadcast
    with refused("doesn't contain", OutOfSubnetError):
        addresses.inside(V4.broadcast + 1, V4)
    with refused("doesn't contain", OutOfSubnetError):
        addresses.inside(V4.network - 1, V4)


def test_an_endpoint_address_outside_every_subnet_is_refused_in_dockers_words():
    with refused("^no configured subnet contains IP address 10.9.9.9; choose .*30.254$") as info:
        addresses.endpoint_address("10.9.9.9", [V4, V6])
    assert type(info.value) is OutOfSubnetError
    with refused("^no configured subnet .* fd00::1; the network has no IPv6 subnet$"):
        addresses.endpoint_address("fd00::1", [V4])
    with refused("broadcast"):
        addresses.endpoint_address("10.20.30.255", [V4, V6])


@pytest.mark.parametrize("value", ["10.20.30.128/25", "10.20.30.0/24", "10.20.30.7/32"])
def test_ip_ranges(value):
    assert str(addresses.ip_range(value, V4)) == value


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("10.20.30.1/25", InvalidArgumentError, "R: it should be 10.20.30.0/25"),
        ("fd00:1::/80", InvalidArgumentError, "R: parent subnet is an IPv4 block; give a part of"),
        ("10.20.0.0/16", InvalidArgumentError, ("R: CIDR block is bigger than its parent subnet "
         "10.20.30.0/24; its prefix length should be at least 24")),
        ("10.20.31.0/25", OutOfSubnetError, "R: parent subnet 10.20.30.0/24 doesn't contain ip-ra"),
        ("10.20.29.128/25", OutOfSubnetError, "R: parent subnet 10.20.30.0/24 doesn't contain"),
    ],
)  # fmt: skip
def test_ip_ranges_that_are_no_part_of_the_subnet(value, error, message):
    with refused(re.escape("invalid ip-range " + message.replace("R", value, 1))) as info:
        addresses.ip_range(value, V4)
    assert type(info.value) is error


def test_aux_addresses_keep_their_order():
    given_addresses = {"router": "10.20.30.5", "DefaultGatewayIPv6": "fd00:1::9", "a": "10.20.30.4"}
    pairs = addresses.aux_addresses(given_addresses, [V4, V6])
    assert [(name, str(value)) for name, value in pairs] == list(given_addresses.items())
    assert addresses.aux_addresses(None, [V4]) == addresses.aux_addresses({}, [V4]) == ()
    assert hash(pairs)


@pytest.mark.parametrize(
    ("value", "subnets", "message"),
    [
        ("a=10.20.30.5", [V4], "invalid auxiliary addresses a=10.20.30.5: they should be a map"),
        ([], [V4], "they should be a mapping"),
        ({"": "10.20.30.5"}, [V4], "invalid auxiliary address name '': it should be"),
        ({"a=b": "10.20.30.5"}, [V4], "invalid auxiliary address name a=b: it should be"),
        ({5: "10.20.30.5"}, [V4], "invalid auxiliary address name 5: it should be"),
        ({"a": "x"}, [V4], "invalid auxiliary address a: x; it should be an address"),
        ({"a": "10.9.9.9"}, [V4], ("invalid auxiliary address a 10.9.9.9: parent subnet "
         "10.20.30.0/24 doesn't contain this address")),
        ({"a": "fd00::1"}, [V4], "parent subnet is an IPv4 block"),
        ({"a": "10.9.9.9"}, [V4, V6], "no configured subnet contains auxiliary address a 10.9.9.9"),
        ({"a": "10.20.30.255"}, [V4], "it is the broadcast address"),
        ({"a": "10.20.30.5", "b": "10.20.30.5"}, [V4], ("invalid auxiliary address b: 10.20.30.5 "
         "is a already; give each address one name")),
    ],
)  # fmt: skip
def test_aux_addresses_no_network_can_have(value, subnets, message):
    with refused(re.escape(message)):
        addresses.aux_addresses(value, subnets)


@pytest.mark.parametrize(
    "value",
    ["02:42:ac:11:00:02", "02-42-AC-11-00-02", "0242.ac11.0002", "02:42:AC:11:00:02",
     EUI("02-42-ac-11-00-02")],
)  # fmt: skip
def test_mac_addresses(value):
    result = macs.mac(value)
    assert type(result) is EUI
    assert str(result) == "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    "value",
    [
        "", "02:42", "02:42:ac:11:00", "02:42:ac:11:00:02:03", "2:42:ac:11:0:2", "0242ac110002",
        "02:42:ac-11:00:02", "02:42:ac:11:00:0g", " 02:42:ac:11:00:02", "02:42:ac:11:00:02\n",
        "02:42:ac:11:00:02:00:01", "0242.ac11", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01", "33:33:00:00:00:01", "03:42:ac:11:00:02", EUI("ff-ff-ff-ff-ff-ff"),
        EUI("00-00-00-00-00-00-00-01"), 0x0242AC110002, *NOT_TEXT,
    ],
)  # fmt: skip
def test_mac_addresses_no_interface_can_have(value):
    with refused("^invalid MAC address: .*; it should be .* such as 02:42:0a:14:1e:04$"):
        macs.mac(value)


@pytest.mark.parametrize(
    ("address", "mac"),
    [("172.17.0.2", "02:42:ac:11:00:02"), ("10.20.30.3", "02:42:0a:14:1e:03"),
     ("fd00::2", "02:42:88:64:36:cd")],
)  # fmt: skip
def test_a_mac_address_follows_from_the_ip_address(address, mac):
    result = macs.mac_for(IPAddress(address))
    assert str(result) == mac
    assert macs.mac(result) == result


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_neighbours_never_share_a_mac_address(prefix, one, other):
    found = {macs.mac_for(IPAddress(prefix << 64 | host, 6)) for host in (one, other)}
    assert len(found) == len({one, other})


@given(st.integers(1, 2**48 - 1))
def test_a_link_local_address_is_the_one_of_netaddr(number):
    mac = EUI(number, 48)
    assert macs.link_local(mac) == mac.ipv6_link_local()


def test_a_link_local_address_is_the_kernels():
    # From `ip address show` in the notes: link/ether 4e:73:ca:1f:f3:86.
    result = macs.link_local(macs.mac("4e:73:ca:1f:f3:86"))
    assert str(result) == "fe80::4c73:caff:fe1f:f386"


@given(ANYTHING)
@example("::1.2.3.4")
def test_what_is_taken_as_an_address_comes_back_and_all_else_is_refused(value):
    for check in (addresses.address, addresses.listen_address):
        result = outcome(check, value)
        if result is not None:
            assert check(str(result)) == check(result) == result
            assert ipaddress.ip_address(str(value))


@given(ANYTHING, st.booleans())
def test_what_is_taken_as_a_subnet_comes_back_and_all_else_is_refused(value, unspecified):
    check = partial(addresses.subnet, unspecified=unspecified)
    result = outcome(check, value)
    if result is not None:
        assert check(str(result)) == check(result) == result
        assert ipaddress.ip_network(str(value)) == ipaddress.ip_network(str(result))


@given(ANYTHING | st.text(alphabet="0123456789abcdefABCDEF:-.", min_size=12, max_size=17))
def test_what_is_taken_as_a_mac_address_comes_back_and_all_else_is_refused(value):
    result = outcome(macs.mac, value)
    assert result is None or macs.mac(str(result)) == result


@given(ANYTHING, st.dictionaries(st.text() | st.integers(), ANYTHING))
def test_arguments_beside_a_subnet_raise_nothing_else(value, mapping):
    for subnet in (V4, V6):
        outcome(partial(addresses.gateway, subnet=subnet), value)
        outcome(partial(addresses.ip_range, subnet=subnet), value)
    outcome(partial(addresses.endpoint_address, subnets=[V4, V6]), value)
    for given_mapping in (value, mapping):
        outcome(partial(addresses.aux_addresses, subnets=[V4, V6]), given_mapping)


@given(st.ip_addresses(v=4).map(str), st.integers(0, 32))
def test_every_private_subnet_without_host_bits_is_taken(text, length):
    network = IPNetwork(f"{text}/{length}").cidr
    blocks = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
    if any(network in IPNetwork(block) for block in blocks):
        assert addresses.subnet(str(network)) == network
