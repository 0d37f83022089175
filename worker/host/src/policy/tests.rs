use super::*;
use crate::facts::{Battery, Clock, Facts, Lid, Power};
use proptest::prelude::*;

fn policy(text: &str) -> Policy {
    text.parse().unwrap_or_else(|error| panic!("`{text}`: {error}"))
}

fn reason(text: &str, facts: &Facts) -> Option<String> {
    match policy(text).decide(facts) {
        Decision::Open => None,
        Decision::Closed { reason } => Some(reason),
    }
}

fn at(weekday: Weekday, hour: u16, minute: u16) -> Facts {
    Facts { clock: Some(Clock { weekday, minute: hour * 60 + minute }), ..Facts::default() }
}

#[test]
fn the_default_reads_and_is_what_it_says() {
    assert_eq!(policy(DEFAULT), Policy::default());
    assert_eq!(Policy::default().to_string(), DEFAULT);
    let desktop = Facts { power: Some(Power::Mains), battery: Some(Battery::Absent), ..Facts::default() };
    assert_eq!(Policy::default().decide(&desktop), Decision::Open);
    assert_eq!(Policy::default().decide(&Facts::default()), Decision::Open, "a machine that says nothing takes part");
    let hot = Facts { thermal: Some(Thermal::Serious), ..desktop };
    assert_eq!(reason(DEFAULT, &hot).unwrap(), "its thermal state is serious");
    let unplugged = Facts { power: Some(Power::Battery), battery: Some(Battery::Percent(90)), ..hot };
    assert_eq!(reason(DEFAULT, &unplugged).unwrap(), "it runs on battery, and its thermal state is serious");
}

#[test]
fn a_night_goes_over_midnight_and_an_evening_ends_at_it() {
    let night = "22:00-08:00";
    for (hour, minute, open) in [(21, 59, false), (22, 0, true), (0, 0, true), (7, 59, true), (8, 0, false)] {
        assert_eq!(reason(night, &at(Weekday::Monday, hour, minute)).is_none(), open, "{hour}:{minute}");
    }
    assert_eq!(reason(night, &at(Weekday::Monday, 12, 0)).unwrap(), "the time is not within 22:00-08:00");
    assert_eq!(policy("18:00-24:00").to_string(), "18:00-00:00");
    assert!(reason("18:00-24:00", &at(Weekday::Monday, 23, 59)).is_none());
    assert!(reason("18:00-24:00", &at(Weekday::Monday, 0, 0)).is_some());
    for (days, open) in [("mon-fri", false), ("sat", true), ("fri-mon", true), ("sun-fri", false)] {
        assert_eq!(reason(days, &at(Weekday::Saturday, 12, 0)).is_none(), open, "{days}");
    }
}

#[test]
fn the_reason_names_all_that_would_have_opened_it() {
    let at_work =
        Facts { power: Some(Power::Mains), idle: Some(Duration::from_secs(60)), ..at(Weekday::Monday, 12, 0) };
    let wanted = "on-ac and (22:00-08:00 or idle > 15m)";
    let said = "the time is not within 22:00-08:00, and somebody used it within 15m";
    assert_eq!(reason(wanted, &at_work).unwrap(), said);
    // For how long somebody has used it does not change the reason.
    assert_eq!(reason(wanted, &Facts { idle: Some(Duration::from_secs(120)), ..at_work }).unwrap(), said);
    assert_eq!(reason(wanted, &Facts { idle: Some(Duration::from_secs(901)), ..at_work }), None);
    assert_eq!(reason("not on-ac", &at_work).unwrap(), "it runs on mains power");
    assert_eq!(reason("never or never", &at_work).unwrap(), "the policy is `never`");
    let low = Facts { battery: Some(Battery::Percent(40)), lid: Some(Lid::Closed), ..Facts::default() };
    assert_eq!(reason("battery > 40%", &low).unwrap(), "its battery is at 40% or less");
    assert_eq!(
        reason("not battery <= 40% or lid-open", &low).unwrap(),
        "its battery is at 40% or less, and its lid is closed"
    );
}

#[test]
fn what_a_machine_lacks_is_known_and_what_it_does_not_say_is_told() {
    let desktop = Facts { battery: Some(Battery::Absent), lid: Some(Lid::Absent), ..Facts::default() };
    assert_eq!(reason("battery > 99% and lid-open and not lid-closed", &desktop), None);
    let wanted = policy("on-ac and (22:00-08:00 or idle > 15m)");
    assert_eq!(wanted.unknown(&Facts::default()), ["on-ac", "22:00-08:00", "idle > 15m"]);
    // What is known closes it whatever the rest is.
    let unplugged = Facts { power: Some(Power::Battery), ..Facts::default() };
    assert!(matches!(wanted.decide(&unplugged), Decision::Closed { reason } if reason == "it runs on battery"));
}

#[test]
fn and_binds_more_tightly_than_or_and_white_space_and_case_do_not_count() {
    assert_eq!(policy("on-ac or lid-open and never").to_string(), "on-ac or (lid-open and never)");
    assert_eq!(policy(" ON-AC\tAnd  ((lid-open))and battery>=5% ").to_string(), "on-ac and lid-open and battery >= 5%");
    assert_eq!(policy("not not not (on-ac and (never and always))").to_string(), "not (on-ac and never and always)");
    assert_eq!(policy("idle>7200s or idle <= 90s or mon-mon").to_string(), "idle > 2h or idle <= 90s or mon");
}

#[test]
fn what_is_wrong_is_pointed_at() {
    for (text, column, said) in [
        ("", 1, "ends too early"),
        ("on-ac and", 10, "ends too early"),
        ("on-ac an idle > 15m", 7, "write `and` or `or` before this"),
        ("on-ac and (idle > 15m", 22, "a `)` is missing"),
        ("on-ac)", 6, "closes nothing"),
        ("thermal < warm", 11, "`warm` is none of nominal, fair, serious, critical"),
        ("pressure <", 11, "nothing is none of normal, warning, critical"),
        ("pressure warning", 10, "write <, <=, > or >="),
        ("battery > 140%", 11, "`140%` is no percentage such as 40%"),
        ("battery > +4%", 11, "no percentage"),
        ("idle > 15", 8, "`15` is no time of at most a week"),
        ("idle > 18446744073709551615h", 8, "no time"),
        ("lid-open or 22:00-25:00", 13, "`22:00-25:00` are no hours"),
        ("08:00-08:00", 1, "write never or always"),
        ("on-ac or on-dc", 10, "`on-dc` is no condition: write on-ac, "),
        ("on-ac and & never", 11, "no condition begins so"),
        ("not", 4, "ends too early"),
        ("größe", 1, "`größe` is no condition"),
        ("größe or", 1, "no condition"),
    ] {
        let error = text.parse::<Policy>().unwrap_err();
        assert!(error.column == column && error.problem.contains(said), "`{text}`: {error}");
    }
    let deep = format!("{}on-ac{}", "(".repeat(21), ")".repeat(21));
    assert_eq!(deep.parse::<Policy>().unwrap_err().column, 21);
    assert!(format!("{}on-ac{}", "(".repeat(20), ")".repeat(20)).parse::<Policy>().is_ok());
    // What reads only because its own form is not written out.
    let dense = format!("on-ac{}", " or idle>1s".repeat(42));
    assert!(
        dense.len() < POLICY_BYTES_MAX
            && dense.parse::<Policy>().unwrap_err().problem.contains("once it is written out")
    );
    let woven = format!("{}never{}", "on-ac or on-ac and (".repeat(15), ")".repeat(15));
    assert!(woven.parse::<Policy>().unwrap_err().problem.contains("too deep once it is written out"));
    assert!("always and ".repeat(60).parse::<Policy>().unwrap_err().problem.contains("at most 500 bytes"));
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    prop::sample::select(&Comparison::ALL[..])
}

fn conditions() -> impl Strategy<Value = Condition> {
    let fixed = vec![
        Condition::Always,
        Condition::Never,
        Condition::OnAc,
        Condition::OnBattery,
        Condition::LidOpen,
        Condition::LidClosed,
    ];
    let days = || prop::sample::select(&Weekday::ALL[..]);
    prop_oneof![
        prop::sample::select(fixed),
        (comparisons(), 0u8..=100).prop_map(|(by, percent)| Condition::Battery(by, percent)),
        (comparisons(), prop::sample::select(&Thermal::ALL[..])).prop_map(|(by, it)| Condition::Thermal(by, it)),
        (comparisons(), prop::sample::select(&Pressure::ALL[..])).prop_map(|(by, it)| Condition::Pressure(by, it)),
        (comparisons(), 0u64..=7 * 86400).prop_map(|(by, it)| Condition::Idle(by, Duration::from_secs(it))),
        (0u16..1440, 1u16..1440).prop_map(|(from, long)| Condition::Hours(from, (from + long) % 1440)),
        (days(), days()).prop_map(|(from, to)| Condition::Days(from, to)),
    ]
}

fn rules() -> impl Strategy<Value = Rule> {
    conditions().prop_map(Rule::Is).prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Rule::all),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Rule::any),
            inner.prop_map(Rule::not),
        ]
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    let maybe = prop::option::of::<BoxedStrategy<u64>>;
    let clock = (prop::sample::select(&Weekday::ALL[..]), 0u16..1440);
    (
        prop::option::of(prop::sample::select(&[Power::Mains, Power::Battery][..])),
        prop::option::of(prop_oneof![Just(Battery::Absent), (0u8..=100).prop_map(Battery::Percent)]),
        prop::option::of(prop::sample::select(&Thermal::ALL[..])),
        prop::option::of(prop::sample::select(&Pressure::ALL[..])),
        prop::option::of(prop::sample::select(&[Lid::Absent, Lid::Open, Lid::Closed][..])),
        maybe((0u64..8 * 86400).boxed()),
        prop::option::of(clock.prop_map(|(weekday, minute)| Clock { weekday, minute })),
    )
        .prop_map(|(power, battery, thermal, pressure, lid, idle, clock)| Facts {
            power,
            battery,
            thermal,
            pressure,
            lid,
            idle: idle.map(Duration::from_secs),
            clock,
            screen: None,
        })
}

/// `facts` where they are known, and `others` elsewhere.
fn completed(facts: Facts, others: Facts) -> Facts {
    Facts {
        power: facts.power.or(others.power),
        battery: facts.battery.or(others.battery),
        thermal: facts.thermal.or(others.thermal),
        pressure: facts.pressure.or(others.pressure),
        lid: facts.lid.or(others.lid),
        idle: facts.idle.or(others.idle),
        clock: facts.clock.or(others.clock),
        screen: facts.screen.or(others.screen),
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(rule in rules()) {
        let text = Policy(rule.clone()).to_string();
        prop_assume!(text.len() <= POLICY_BYTES_MAX);
        prop_assert_eq!(text.parse::<Policy>(), Ok(Policy(rule)));
    }

    #[test]
    fn no_text_panics_and_every_error_points_into_it(
        text in "[ a-z0-9:%<>()=.-]{0,60}|.{0,40}|((not|on-ac|and|or|idle>1h|battery *< 5%|\\(|\\)) ?){0,20}",
    ) {
        match text.parse::<Policy>() {
            Ok(policy) => prop_assert_eq!(policy.to_string().parse(), Ok(policy)),
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.column), "{}", error),
        }
    }

    #[test]
    fn a_policy_that_facts_close_stays_closed_whatever_the_unknown_ones_are(rule in rules(), known in facts(), others in facts()) {
        let policy = Policy(rule);
        if let Decision::Closed { reason } = policy.decide(&known) {
            prop_assert!(!reason.is_empty());
            let closed = matches!(policy.decide(&completed(known, others)), Decision::Closed { .. });
            prop_assert!(closed, "{} by {:?}", policy, known);
        }
    }

    #[test]
    fn not_turns_a_policy_over_where_all_is_known(rule in rules(), known in facts(), others in facts()) {
        let all = completed(completed(known, others), Facts {
            power: Some(Power::Mains), battery: Some(Battery::Absent), thermal: Some(Thermal::Fair),
            pressure: Some(Pressure::Normal), lid: Some(Lid::Open), idle: Some(Duration::ZERO),
            clock: Some(Clock { weekday: Weekday::Friday, minute: 0 }), ..Facts::default()
        });
        prop_assert!(Policy(rule.clone()).unknown(&all).is_empty());
        let is_open = |rule: Rule| Policy(rule).decide(&all) == Decision::Open;
        prop_assert_ne!(is_open(rule.clone()), is_open(Rule::not(rule)));
    }
}
