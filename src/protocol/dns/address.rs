//! Which addresses the public internet can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv4 networks that are not globally reachable (IANA IPv4 Special-Purpose Address Registry, RFC 6890), and multicast.
const SPECIAL_IP4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),       // "this network", RFC 791 §3.2
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private, RFC 1918
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared behind a carrier's NAT, RFC 6598
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback, RFC 1122 §3.2.1.3
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, RFC 3927; cloud metadata stands here
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private, RFC 1918
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments, RFC 6890 §2.1; two are anycast, as in SPECIAL_IP6
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation, RFC 5737
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relay anycast, withdrawn by RFC 7526
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private, RFC 1918
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarking, RFC 2544
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation, RFC 5737
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation, RFC 5737
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast, RFC 5771
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and the limited broadcast, RFC 1112 §4
];

/// `2000::/3`, the global unicast addresses (IANA IPv6 Address Space registry, RFC 4291 §2.4). Of all others no host on the internet
/// has one, and many networks use some inside: loopback, unique local, link-local, site-local, "IPv4-compatible", local-use NAT64, multicast.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// The networks in it that are not globally reachable (IANA IPv6 Special-Purpose Address Registry, RFC 6890).
const SPECIAL_IP6: [(Ipv6Addr, u32); 3] = [
    // Protocol assignments, RFC 2928: benchmarking, ORCHID and others. The few that the registry calls reachable are identifiers, or
    // anycast addresses which the nearest router answers (RFC 7723, RFC 8155): inside, where it is one's own.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation, RFC 3849
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),     // documentation, RFC 9637
];

/// `::ffff:0:0/96`, IPv4-mapped (RFC 4291 §2.5.5.2).
const MAPPED: (Ipv6Addr, u32) = (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96);
/// `64:ff9b::/96`, NAT64 with the well-known prefix (RFC 6052 §2.1).
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);
/// `2002::/16`, 6to4 (RFC 3056 §2).
const SIX_TO_FOUR: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16);
/// `2001::/32`, Teredo (RFC 4380 §4).
const TEREDO: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32);

/// Whether the public internet can reach the address: it is a unicast address, and lies in no special-purpose network (RFC 6890).
///
/// An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4, Teredo) is as public as that one, so that a private
/// service cannot be named through a transition prefix.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_ip4(address),
        IpAddr::V6(address) => is_public_ip6(address),
    }
}

fn is_public_ip4(address: Ipv4Addr) -> bool {
    !SPECIAL_IP4.iter().any(|(network, length)| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0)
}

fn is_public_ip6(address: Ipv6Addr) -> bool {
    let within = |(network, length): &(Ipv6Addr, u32)| (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0;
    // The IPv4 address stands `shift` bits above the end.
    let embedded =
        |shift: u32| Ipv4Addr::from_bits(u32::try_from((address.to_bits() >> shift) & 0xffff_ffff).unwrap_or(0));
    if within(&MAPPED) || within(&NAT64) {
        return is_public_ip4(embedded(0));
    }
    if !within(&GLOBAL_UNICAST) {
        return false;
    }
    if within(&SIX_TO_FOUR) {
        return is_public_ip4(embedded(80));
    }
    if within(&TEREDO) {
        // The server stands in clear, the client with all bits turned over (RFC 4380 §4).
        let client = Ipv4Addr::from_bits(!embedded(0).to_bits());
        return is_public_ip4(client) && is_public_ip4(embedded(64));
    }
    !SPECIAL_IP6.iter().any(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of every special network, and the neighbours that are none.
    #[test]
    fn special_networks_end_where_the_registry_says() {
        let special = [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.255",
            "192.0.2.1",
            "192.0.2.255",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::192.0.2.1",
            "::8.8.8.8",
            "64:ff9b:1::1",
            "100::",
            "100::ffff",
            "100:0:0:1::1",
            "2001:2::1",
            "2001:2:0:ffff::1",
            "2001:10::1",
            "2001:2f:ffff::1",
            "2001:db8::1",
            "2001:db8:ffff:ffff::1",
            "3fff::1",
            "3fff:fff:ffff::1",
            "5f00::1",
            "fc00::1",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff02::1",
            "ffff::1",
            "::ffff:0:8.8.8.8",
            "2001:1::1",
            "2001:2:1::1",
            "2001:30::1",
            "2001:1ff:ffff::1",
            "101::1",
            "1fff:ffff::1",
            "4000::1",
            "5eff::1",
        ];
        for text in special {
            assert!(!is_public(text.parse().unwrap()), "{text} is special");
        }
        let public = [
            "1.0.0.0",
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2001:db7::1",
            "2001:db9::1",
            "2606:4700::1111",
            "2a00:1450::1",
            "3ffe::1",
            "3fff:1000::1",
        ];
        for text in public {
            assert!(is_public(text.parse().unwrap()), "{text} is public");
        }
    }

    #[test]
    fn an_embedded_ip4_address_counts() {
        for (text, public) in [
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::ffff:8.8.8.8", true),
            ("64:ff9b::10.0.0.1", false),
            ("64:ff9b::8.8.8.8", true),
            ("2002:0a00:0001::1", false),
            ("2002:c0a8:0101::1", false),
            ("2002:0808:0808::1", true),
            // RFC 4380 §4: server 65.54.227.120, client 192.0.2.45 (documentation), then a public client and a private server.
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("2001:0:4136:e378:8000:63bf:f7f7:f7f7", true),
            ("2001:0:0a00:0001:8000:63bf:f7f7:f7f7", false),
        ] {
            assert_eq!(is_public(text.parse().unwrap()), public, "{text}");
        }
    }
}
