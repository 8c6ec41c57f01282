"""What kind of place an IP address is: on the internet, in a network of the operator's, or never to be called. Pure.

The registries are IANA's: https://www.iana.org/assignments/iana-ipv4-special-registry and
https://www.iana.org/assignments/iana-ipv6-special-registry. Lists of our own rather than `ipaddress.is_global`, which
changes between versions of Python and knows neither metadata services nor addresses inside addresses.
"""

from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


class Standing(Enum):
    """Who may be behind an address."""

    #: A host on the internet.
    PUBLIC = auto()
    #: This machine, or a network of the operator's. Only where the operator names the host.
    PRIVATE = auto()
    #: Link-local, metadata services, multicast, reserved: never.
    NEVER = auto()


_PRIVATE = tuple(
    ip_network(network)
    for network in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared address space of carriers and clouds (RFC 6598)
        "127.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarking (RFC 2544)
        "::1/128",
        "fc00::/7",
    )
)
_NEVER = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "168.63.129.16/32",  # Azure's WireServer, an address like any other on the internet
        "169.254.0.0/16",  # link-local, with the metadata of most clouds
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo and other protocols
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address inside, through a relay
        "3fff::/20",
        "fd00:ec2::254/128",  # metadata of AWS
        "fd20:ce::254/128",  # metadata of Google Cloud
    )
)
#: All that IANA has given out for hosts on the internet.
_PUBLIC_IPV6 = ip_network("2000::/3")
#: An IPv4 address inside, as a resolver of a network without IPv4 makes it (RFC 6052).
_NAT64 = ip_network("64:ff9b::/96")


def standing(text: str) -> Standing:
    """The standing of an address as a resolver gives it. Text that is no address, or has a zone, is `NEVER`."""
    try:
        address = ip_address(text)
    except ValueError:
        return Standing.NEVER
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return Standing.NEVER
        if address.ipv4_mapped is not None:
            return _listed(address.ipv4_mapped)
        if address in _NAT64:
            inside = _listed(IPv4Address(address.packed[-4:]))
            return inside if inside is Standing.PUBLIC else Standing.NEVER
    return _listed(address)


def _listed(address: IPv4Address | IPv6Address) -> Standing:
    if any(address in network for network in _NEVER):
        return Standing.NEVER
    if any(address in network for network in _PRIVATE):
        return Standing.PRIVATE
    return Standing.PUBLIC if isinstance(address, IPv4Address) or address in _PUBLIC_IPV6 else Standing.NEVER
