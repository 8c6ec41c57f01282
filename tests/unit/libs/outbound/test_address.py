"""What kind of place an address is."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.outbound.address import Standing, standing


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"],
)
def test_hosts_on_the_internet_are_public(address: str) -> None:
    assert standing(address) is Standing.PUBLIC


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "::1",
        "fd12::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
    ],
)
def test_this_machine_and_private_networks_are_private(address: str) -> None:
    assert standing(address) is Standing.PRIVATE


@pytest.mark.parametrize(
    "address",
    [
        *[
            "0.0.0.0",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
        ],
        *["::", "fe80::1", "fe80::1%eth0", "2606:4700::1%1", "ff02::1", "fec0::1", "fd00:ec2::254", "::127.0.0.1"],
        *["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1"],
        *["::ffff:169.254.169.254", "localhost", "127.1", "0x7f000001"],
        "",
    ],
)
def test_metadata_multicast_reserved_and_what_is_no_address_are_never_called(address: str) -> None:
    assert standing(address) is Standing.NEVER


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_is_public_that_python_knows_not_to_be_global(address: object) -> None:
    known = ip_address(str(address))
    if standing(str(address)) is Standing.PUBLIC and getattr(known, "ipv4_mapped", None) is None:
        assert known.is_global and not known.is_multicast
