use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use vertigo::secret::SECRET_BYTES;

/// Addresses of whoever attacks: few networks and many, in all the forms that a socket gives them.
fn address() -> impl Strategy<Value = IpAddr> {
    let v4 = prop_oneof![0u32..4, any::<u32>()].prop_map(Ipv4Addr::from_bits);
    let v6 = (prop_oneof![0u64..4, any::<u64>()], any::<u64>())
        .prop_map(|(network, host)| Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host)));
    prop_oneof![v4.prop_map(IpAddr::V4), v4_mapped(), v6.prop_map(IpAddr::V6)]
}

fn v4_mapped() -> impl Strategy<Value = IpAddr> {
    (0u32..4).prop_map(|it| IpAddr::V6(Ipv4Addr::from_bits(it).to_ipv6_mapped()))
}

proptest! {
    #[test]
    fn whoever_attacks_from_wherever_an_address_of_its_own_may_always_try(
        attack in prop::collection::vec((0u64..2_000, address()), 0..400), own in address(),
    ) {
        let (mut it, mut now) = (Tries::default(), Instant::now());
        for (ms, from) in attack.iter().filter(|(_, from)| Source::of(*from) != Source::of(own)) {
            now += Duration::from_millis(*ms);
            let _ = it.begin(now, *from);
        }
        prop_assert_eq!(it.begin(now, own), Ok(()));
        // Nor do those who hold no token have a say about one.
        prop_assert_eq!(it.begin_with(now, own, TokenId::new()), Ok(()));
    }

    #[test]
    fn an_address_tries_as_often_as_it_should_and_waits_as_long_as_it_must(
        steps in prop::collection::vec((0u64..20_000, 0u8..6, any::<bool>()), 1..300)
    ) {
        let mut it = Failures::new(6, ADDRESS_FAILURES_MAX);
        let mut now = Instant::now();
        let mut failed: Vec<(Instant, u8)> = Vec::new();
        for (ms, from, fails) in steps {
            now += Duration::from_millis(ms);
            let own = failed.iter().filter(|(at, whose)| *whose == from && now.duration_since(*at) < WINDOW).count();
            match it.begin(now, from) {
                Ok(()) => {
                    prop_assert!(own < ADDRESS_FAILURES_MAX);
                    if fails { failed.push((now, from)) } else { it.succeeded(now, from) }
                }
                Err(TooMany(wait)) => {
                    prop_assert!(own >= ADDRESS_FAILURES_MAX && wait <= WINDOW);
                    prop_assert!(it.begin(now + wait, from).is_ok());
                    it.succeeded(now + wait, from);
                    now += wait;
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_one_that_is_quiet_the_longest_is_forgotten(
        steps in prop::collection::vec((0u64..100, 0u16..500), 1..600)
    ) {
        let (mut it, mut now) = (Failures::new(16, 3), Instant::now());
        for (ms, from) in steps {
            now += Duration::from_millis(ms);
            let (before, quietest) = (it.by.len(), it.newest.first().map(|(_, key)| *key));
            let is_new = !it.by.contains_key(&from);
            let _ = it.begin(now, from);
            prop_assert!(it.by.len() <= 16 && it.by.values().all(|failures| (1..=3).contains(&failures.len())));
            prop_assert!(it.by.iter().all(|(key, failures)| it.newest.contains(&(failures[failures.len() - 1], *key))));
            prop_assert_eq!(it.by.len(), it.newest.len());
            if is_new && before == 16 {
                prop_assert!(!it.by.contains_key(&quietest.unwrap()));
            }
        }
    }

    #[test]
    fn who_tries_many_at_once_has_as_many_tries_as_one_after_another(begun in 1usize..200) {
        let (mut it, now, address) = (Tries::default(), Instant::now(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tried = (0..begun).filter(|_| it.begin(now, address).is_ok()).count();
        prop_assert_eq!(tried, begun.min(ADDRESS_FAILURES_MAX));
    }

    #[test]
    fn the_log_has_few_lines_a_minute_and_their_numbers_add_up(waits in prop::collection::vec(0u64..3_000, 1..500)) {
        let (mut it, begun) = (Noise::default(), Instant::now());
        let (mut now, mut told, mut lines) = (begun, 0, 0);
        for ms in &waits {
            now += Duration::from_millis(*ms);
            let (is_told, before) = it.told(now);
            prop_assert!(is_told || before == 0);
            lines += u64::from(is_told);
            told += u64::from(is_told) + before;
        }
        prop_assert_eq!(told + it.untold, waits.len() as u64);
        let minutes = now.duration_since(begun).as_secs() / WINDOW.as_secs() + 1;
        prop_assert!(lines <= minutes * u64::from(LINES_MAX), "{lines} in {minutes} minutes");
    }
}

#[test]
fn ever_more_addresses_take_no_more_room_and_keep_nobody_out() {
    let (mut it, now) = (Tries::default(), Instant::now());
    for network in 0..3 * SOURCES_MAX as u64 {
        let from = IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64 | 1));
        assert_eq!(it.begin(now + Duration::from_micros(network), from), Ok(()));
    }
    assert_eq!((it.sources.by.len(), it.sources.newest.len()), (SOURCES_MAX, SOURCES_MAX));
    assert_eq!(it.begin(now + Duration::from_secs(1), IpAddr::V4(Ipv4Addr::LOCALHOST)), Ok(()));
}

#[test]
fn all_of_a_network_of_ipv6_is_one_and_a_mapped_address_is_the_one_that_it_maps() {
    let of = |text: &str| Source::of(text.parse().unwrap());
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
    assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
}

/// The numbers of the module's first lines: more guesses than anybody can send, against as many tokens as there can be.
#[test]
fn nobody_guesses_a_secret() {
    let seconds = crate::access::registry::TTL_MAX.as_secs();
    let found = (1_000_000 * seconds) as f64 * TOKENS_MAX as f64;
    assert!((SECRET_BYTES * 8) as f64 - found.log2() > 204.0);
}

#[test]
fn whoever_holds_a_token_is_counted_by_it_and_not_by_its_address() {
    let (mut it, now, address) = (Tries::default(), Instant::now(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (one, other) = (TokenId::new(), TokenId::new());
    for _ in 0..TOKEN_FAILURES_MAX {
        it.begin(now, address).unwrap();
        it.begin_with(now, address, one).unwrap();
    }
    it.begin(now, address).unwrap();
    assert!(it.begin_with(now, address, one).is_err());
    it.begin(now, address).unwrap();
    assert_eq!(it.begin_with(now, address, other), Ok(()), "it is another token's turn");
    it.succeeded(now, one);
    it.begin(now, address).unwrap();
    assert_eq!(it.begin_with(now, address, one), Ok(()));
}
