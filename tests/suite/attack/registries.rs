//! Which addresses may be dialled, held against the registries of IANA: "IPv4 Special-Purpose Address", "IPv6 Special-Purpose
//! Address", "IPv4 Multicast Address Space" and "IPv6 Address Space", as of November 2026.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smtptls_exporter::protocol::dns::is_public;

/// What the registry says in its column "Globally Reachable".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reachable {
    Yes,
    No,
    /// It depends on the IPv4 address that is carried.
    Carries,
}

use Reachable::{Carries, No, Yes};

/// The rows: network, reachable, and whether this program dials what lies in it. The last two differ where a reason stands beside them.
const ROWS: &[(&str, Reachable, bool)] = &[
    ("0.0.0.0/8", No, false),
    ("0.0.0.0/32", No, false),
    ("10.0.0.0/8", No, false),
    ("100.64.0.0/10", No, false),
    ("127.0.0.0/8", No, false),
    ("169.254.0.0/16", No, false),
    ("172.16.0.0/12", No, false),
    ("192.0.0.0/24", No, false),
    ("192.0.0.0/29", No, false),
    ("192.0.0.8/32", No, false),
    // Anycast of PCP and TURN: the nearest router answers, which is one's own.
    ("192.0.0.9/32", Yes, false),
    ("192.0.0.10/32", Yes, false),
    ("192.0.0.170/32", No, false),
    ("192.0.0.171/32", No, false),
    ("192.0.2.0/24", No, false),
    ("192.31.196.0/24", Yes, true),
    ("192.52.193.0/24", Yes, true),
    // Withdrawn anycast of relays.
    ("192.88.99.0/24", No, false),
    ("192.168.0.0/16", No, false),
    ("192.175.48.0/24", Yes, true),
    ("198.18.0.0/15", No, false),
    ("198.51.100.0/24", No, false),
    ("203.0.113.0/24", No, false),
    ("224.0.0.0/4", No, false),
    ("240.0.0.0/4", No, false),
    ("255.255.255.255/32", No, false),
    ("::1/128", No, false),
    ("::/128", No, false),
    // "IPv4-compatible", withdrawn.
    ("::/96", No, false),
    ("::ffff:0:0/96", Carries, true),
    // IPv4-translated (RFC 2765): no packet on the internet has it.
    ("::ffff:0:0:0/96", No, false),
    ("64:ff9b::/96", Carries, true),
    ("64:ff9b:1::/48", No, false),
    ("100::/64", No, false),
    ("100:0:0:1::/64", No, false),
    ("2001::/23", No, false),
    ("2001::/32", Carries, true),
    // Anycast of PCP, TURN and service registration: the nearest router answers.
    ("2001:1::1/128", Yes, false),
    ("2001:1::2/128", Yes, false),
    ("2001:1::3/128", Yes, false),
    ("2001:2::/48", No, false),
    // Multicast tunnels and reverse lookups of private addresses: no mail is there.
    ("2001:3::/32", Yes, false),
    ("2001:4:112::/48", Yes, false),
    ("2001:10::/28", No, false),
    // Identifiers, not locators.
    ("2001:20::/28", Yes, false),
    ("2001:30::/28", Yes, false),
    ("2001:db8::/32", No, false),
    ("2002::/16", Carries, true),
    ("2620:4f:8000::/48", Yes, true),
    ("3fff::/20", No, false),
    ("5f00::/16", No, false),
    ("fc00::/7", No, false),
    ("fe80::/10", No, false),
    // Withdrawn: site-local.
    ("fec0::/10", No, false),
    ("ff00::/8", No, false),
    // "IPv6 Address Space": all but 2000::/3 is reserved, or stands above.
    ("::/3", No, false),
    ("4000::/2", No, false),
    ("8000::/1", No, false),
];

/// First and last address of `network/length`, as bits that stand at the end of 128.
fn ends(text: &str) -> (u128, u128, bool) {
    let (network, length) = text.split_once('/').unwrap();
    let (first, bits, is_ip4) = match network.parse().unwrap() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32, true),
        IpAddr::V6(address) => (address.to_bits(), 128, false),
    };
    let host = bits - length.parse::<u32>().unwrap();
    let span = if host == 128 { u128::MAX } else { (1_u128 << host) - 1 };
    assert_eq!(first & span, 0, "{text} begins elsewhere");
    (first, first + span, is_ip4)
}

fn address(bits: u128, is_ip4: bool) -> IpAddr {
    match is_ip4 {
        true => Ipv4Addr::from_bits(u32::try_from(bits).unwrap()).into(),
        false => Ipv6Addr::from_bits(bits).into(),
    }
}

/// A second and plainer reading of the rules: the longest row decides; one that carries an IPv4 address asks for that one.
fn expected(asked: IpAddr) -> bool {
    let (bits, is_ip4) = match asked {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true),
        IpAddr::V6(address) => (address.to_bits(), false),
    };
    let holds = |row: &&(&str, Reachable, bool)| {
        let (first, last, of_ip4) = ends(row.0);
        of_ip4 == is_ip4 && (first..=last).contains(&bits)
    };
    let length = |row: &&(&str, Reachable, bool)| row.0.split_once('/').unwrap().1.parse::<u8>().unwrap();
    let Some((network, reachable, dialled)) = ROWS.iter().filter(holds).max_by_key(length) else { return true };
    if *reachable != Carries {
        return *dialled;
    }
    let IpAddr::V6(asked) = asked else { unreachable!("no row of IPv4 carries another address") };
    let octets = asked.octets();
    let at = |place: usize| Ipv4Addr::new(octets[place], octets[place + 1], octets[place + 2], octets[place + 3]);
    match *network {
        "2002::/16" => expected(at(2).into()),
        // RFC 4380 §4: the server as it is, the client turned over.
        "2001::/32" => expected(at(4).into()) && expected(Ipv4Addr::from_bits(!at(12).to_bits()).into()),
        _ => expected(at(12).into()),
    }
}

/// The ends of each network, and what lies before and behind it.
fn edges() -> impl Iterator<Item = IpAddr> {
    ROWS.iter().flat_map(|(network, ..)| {
        let (first, last, is_ip4) = ends(network);
        let most = if is_ip4 { u128::from(u32::MAX) } else { u128::MAX };
        let outside = [first.checked_sub(1), last.checked_add(1).filter(|bits| *bits <= most)];
        [Some(first), Some(last)].into_iter().chain(outside).flatten().map(move |bits| address(bits, is_ip4))
    })
}

#[test]
fn each_network_ends_where_the_registry_says() {
    let mut public = 0;
    for edge in edges() {
        assert_eq!(is_public(edge), expected(edge), "{edge}");
        public += usize::from(is_public(edge));
    }
    assert!(public > 20, "{public}: neighbours are public");
}

/// All ways to write an IPv4 address as an IPv6 address.
fn carried(inner: Ipv4Addr) -> [Ipv6Addr; 8] {
    let [a, b, c, d] = inner.octets();
    let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    [
        Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
        Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0, 0x0808, 0x0808, 0x8000, 0x63bf, !high, !low),
        Ipv6Addr::new(0x2001, 0, high, low, 0x8000, 0x63bf, !0x0808, !0x0808),
    ]
}

/// Whatever is private stays so in every dress; what is public in a dress that the internet routes is public.
#[test]
fn no_dress_makes_a_private_address_public() {
    let (mut private, mut public) = (0, 0);
    for edge in edges() {
        let IpAddr::V4(inner) = edge else { continue };
        for dressed in carried(inner) {
            assert_eq!(is_public(dressed.into()), expected(dressed.into()), "{inner} as {dressed}");
            match expected(inner.into()) {
                false => {
                    assert!(!is_public(dressed.into()), "{inner} as {dressed}");
                    private += 1;
                }
                true => public += usize::from(is_public(dressed.into())),
            }
        }
    }
    assert!(private > 300 && public > 50, "{private} {public}");
}

/// Where clouds and containers keep what a stranger must not ask for.
#[test]
fn services_of_the_inside_are_never_dialled() {
    for text in [
        "169.254.169.254", // metadata: AWS, Azure, Google, OpenStack and others
        "169.254.170.2",   // credentials of tasks: AWS ECS
        "169.254.169.123", // time: AWS
        "fd00:ec2::254",   // metadata: AWS over IPv6
        "fd20:ce::254",    // metadata: Google over IPv6
        "100.100.100.200", // metadata: Alibaba
        "192.0.0.192",     // metadata: Oracle, the older address
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "127.0.0.1",
        "127.255.255.254",
        "0.0.0.0",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:0:127.0.0.1",
        "fe80::1",
        "ff02::1",
        "255.255.255.255",
    ] {
        assert!(!is_public(text.parse().unwrap()), "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_address_is_judged_as_the_table_says(ip4: u32, ip6: u128, row in 0..ROWS.len(), within: u128) {
        let ip4 = Ipv4Addr::from_bits(ip4);
        let (first, last, is_ip4) = ends(ROWS[row].0);
        let span = (last - first).checked_add(1);
        let inside = address(first + span.map_or(within, |span| within % span), is_ip4);
        let dressed = carried(ip4).map(IpAddr::V6);
        for asked in [ip4.into(), Ipv6Addr::from_bits(ip6).into(), inside].into_iter().chain(dressed) {
            proptest::prop_assert_eq!(is_public(asked), expected(asked), "{}", asked);
        }
    }
}
