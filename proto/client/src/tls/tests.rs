//! Every error of TLS has words, and is found where gRPC and HTTP put it.

use super::*;
use proptest::prelude::*;
use rustls::InvalidMessage;
use rustls::pki_types::ServerName;
use std::time::Duration;
use tonic::Status;

/// 2026-11-28T12:00:00Z.
const NOW: u64 = 1_795_867_200;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn of(error: CertificateError) -> String {
    words(&rustls::Error::InvalidCertificate(error), at(NOW))
}

#[test]
fn what_is_wrong_with_the_coordinators_certificate_is_told_apart() {
    for stranger in [CertificateError::UnknownIssuer, CertificateError::BadSignature] {
        let words = of(stranger);
        assert!(words.contains("not of the expected authority") && words.contains("vertigo login"), "{words}");
    }
    let words = of(CertificateError::ExpiredContext { time: at(NOW), not_after: at(NOW - 3600) });
    assert!(words.contains("expired at 2026-11-28T11:00:00Z"), "{words}");
    assert!(words.contains("the clock here says 2026-11-28T12:00:00Z"), "{words}");
    let words = of(CertificateError::Expired);
    assert!(words.contains("expired (the clock here says 2026-11-28T12:00:00Z"), "{words}");
    let words = of(CertificateError::NotValidYetContext { time: at(NOW), not_before: at(NOW + 3600) });
    assert!(words.contains("before 2026-11-28T13:00:00Z") && words.contains("clocks"), "{words}");
    let expected = ServerName::try_from("mini").unwrap();
    let words = of(CertificateError::NotValidForNameContext {
        expected,
        presented: vec![r#"DnsName("studio.local")"#.to_owned(), "IpAddress(10.0.0.7)".to_owned()],
    });
    assert!(words.contains("of studio.local, 10.0.0.7 and not of mini"), "{words}");
}

#[test]
fn names_without_end_are_not_shown_without_end() {
    let many: Vec<String> = (0..1000).map(|n| format!("host-{n}")).collect();
    assert_eq!(names(&many), "host-0, host-1, host-2, host-3, host-4 and 995 more");
    assert_eq!((names(&many[..2]).as_str(), names(&[]).as_str()), ("host-0, host-1", "no host"));
}

#[test]
fn what_the_coordinator_refused_is_told_apart() {
    let said = |alert| words(&rustls::Error::AlertReceived(alert), at(NOW));
    for refused in [AlertDescription::UnknownCA, AlertDescription::BadCertificate, AlertDescription::DecryptError] {
        assert!(said(refused).contains("refused our certificate, which is not of its authority"), "{refused:?}");
    }
    assert!(said(AlertDescription::CertificateRevoked).contains("refused our certificate, which was revoked"));
    let expired = said(AlertDescription::CertificateExpired);
    assert!(expired.contains("refused our certificate") && expired.contains("2026-11-28T12:00:00Z"), "{expired}");
    assert!(said(AlertDescription::CertificateRequired).contains("showed none"));
    let plain = words(&rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), at(NOW));
    assert!(plain.contains("speaks no TLS:"), "{plain}");
}

proptest! {
    #[test]
    fn every_alert_and_every_time_has_words_and_they_come_through_http_2(alert in any::<u8>(), now in any::<u64>()) {
        let error = rustls::Error::AlertReceived(alert.into());
        let expected = words(&error, at(now));
        prop_assert!(!expected.is_empty() && !expected.starts_with(SAID));
        // As tokio-rustls gives it, and within what HTTP makes of that.
        let io = io::Error::new(io::ErrorKind::InvalidData, error);
        prop_assert_eq!(trouble_in(&io, at(now)), Some(expected.clone()));
        let within = Status::from_error(Box::new(io::Error::other(io)));
        prop_assert_eq!(trouble_in(&within, at(now)), Some(expected.clone()));
        // As HTTP/2 gives it: a kind and a text.
        let text = io::Error::other(Trouble(expected.clone()).to_string());
        prop_assert_eq!(trouble(&io::Error::other(text)), Some(expected));
    }

    #[test]
    fn no_other_error_is_taken_for_one(message in "[a-zA-Z :]{0,40}") {
        prop_assume!(!message.contains(SAID));
        prop_assert_eq!(trouble(&io::Error::other(message.clone())), None);
        prop_assert_eq!(trouble(&Status::unavailable(message)), None);
    }
}
