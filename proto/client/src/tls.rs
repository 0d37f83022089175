//! Why TLS failed, in words for a person: what is wrong, on whose side, and what to do.
//!
//! Promise: [`words`] is a function of the error and the clock. [`trouble`] finds an error of TLS however deep it lies in what gRPC or
//! HTTP made of it, and says nothing of any other.

use jiff::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use std::error::Error;
use std::fmt;
use std::io;

/// How this machine joins anew.
const JOIN: &str =
    "`vertigo login`, or `vertigo-worker join` for a worker, takes the line that `vertigo token create` prints there";

/// What every text of ours begins with. Where an error comes through HTTP/2, its text is all that is left of it.
const SAID: &str = "TLS: ";

/// An error of TLS whose words are found again wherever it comes out.
#[derive(Debug)]
pub(crate) struct Trouble(String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SAID}{}", self.0)
    }
}

impl Error for Trouble {}

/// The same error with words that a person understands, where it is one of TLS.
pub(crate) fn told(error: io::Error) -> io::Error {
    let Some(words) = trouble_in(&error, UnixTime::now()) else { return error };
    io::Error::new(error.kind(), Trouble(words))
}

/// One that ended before its handshake did.
pub(crate) fn broken_off(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::UnexpectedEof {
        return told(error);
    }
    let words = "the connection was closed in the middle of the handshake: is it a coordinator that listens there?";
    io::Error::new(error.kind(), Trouble(words.to_owned()))
}

/// What TLS says of why a call or a transfer failed; `None` where that has nothing to do with TLS.
pub fn trouble(error: &(dyn Error + 'static)) -> Option<String> {
    trouble_in(error, UnixTime::now())
}

fn trouble_in(error: &(dyn Error + 'static), now: UnixTime) -> Option<String> {
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(words(error, now));
    }
    // The source of an I/O error is the source of what is in it, which would be passed over.
    if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return trouble_in(inner, now);
    }
    match error.source() {
        Some(source) => trouble_in(source, now),
        None => error.to_string().split_once(SAID).map(|(_, words)| words.to_owned()),
    }
}

/// What an error of TLS means to whoever connected to a coordinator, by this machine's clock.
pub fn words(error: &rustls::Error, now: UnixTime) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => theirs(why, now),
        rustls::Error::AlertReceived(alert) => ours(*alert, now),
        rustls::Error::NoCertificatesPresented => "what listens there shows no certificate".to_owned(),
        rustls::Error::InvalidMessage(_) => {
            "what listens there speaks no TLS: is it a coordinator without certificates? Such a one is reached on its own machine, by \
             http://"
                .to_owned()
        }
        rustls::Error::PeerIncompatible(why) => format!("what listens there speaks no TLS 1.3 that we know ({why:?})"),
        other => other.to_string(),
    }
}

/// What is wrong with the certificate that the coordinator showed.
fn theirs(why: &CertificateError, now: UnixTime) -> String {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    match why {
        // An authority that was made anew has the old one's name, and another key.
        UnknownIssuer | BadSignature => format!(
            "the certificate is not of the expected authority: it is another coordinator that listens there, or this one was set up anew. \
             If it is to be trusted, join it: {JOIN}"
        ),
        ExpiredContext { time, not_after } => expired(&format!(" at {}", shown(*not_after)), *time),
        Expired => expired("", now),
        NotValidYetContext { time, not_before } => early(&format!(" before {}", shown(*not_before)), *time),
        NotValidYet => early(" yet", now),
        NotValidForNameContext { expected, presented } => format!(
            "the certificate is of {} and not of {}: use a name that it has, or have the coordinator listen by this one",
            names(presented),
            expected.to_str()
        ),
        NotValidForName => "the certificate is of another name than the one in the URL: use one that it has".to_owned(),
        other => format!("the certificate of what listens there is not valid: {other}"),
    }
}

fn expired(when: &str, clock: UnixTime) -> String {
    format!(
        "the coordinator's certificate expired{when} (the clock here says {}): set this clock if it is wrong; otherwise the coordinator \
         did not renew it, and its log says why",
        shown(clock)
    )
}

fn early(when: &str, clock: UnixTime) -> String {
    format!(
        "the coordinator's certificate is not valid{when} (the clock here says {}): one of the two clocks is wrong",
        shown(clock)
    )
}

/// Names that a certificate has, as many as a person reads.
fn names(presented: &[String]) -> String {
    const NAMES_MAX: usize = 5;
    let shown: Vec<&str> = presented.iter().take(NAMES_MAX).map(|name| bare(name)).collect();
    match (shown.len(), presented.len()) {
        (0, _) => "no host".to_owned(),
        (some, all) if some < all => format!("{} and {} more", shown.join(", "), all - some),
        _ => shown.join(", "),
    }
}

/// A name without what says of which kind it is: `DnsName("mini.local")`.
fn bare(name: &str) -> &str {
    let within = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    within.trim_matches('"')
}

/// What the coordinator said when it ended the handshake.
fn ours(alert: AlertDescription, now: UnixTime) -> String {
    use AlertDescription::{
        AccessDenied, BadCertificate, CertificateExpired, CertificateRequired, CertificateRevoked, CertificateUnknown,
        DecryptError, NoApplicationProtocol, NoCertificate, ProtocolVersion, UnknownCA, UnsupportedCertificate,
    };
    match alert {
        CertificateRequired | NoCertificate => {
            format!("the coordinator asks for a certificate, and this machine showed none: {JOIN}")
        }
        CertificateExpired => format!(
            "the coordinator refused our certificate, which is expired or not valid yet (the clock here says {}): set the clock that is \
             wrong, or join again: {JOIN}",
            shown(now)
        ),
        CertificateRevoked | AccessDenied => {
            format!(
                "the coordinator refused our certificate, which was revoked. Whoever may come back joins again: {JOIN}"
            )
        }
        UnknownCA | BadCertificate | CertificateUnknown | UnsupportedCertificate | DecryptError => format!(
            "the coordinator refused our certificate, which is not of its authority: it was set up anew, or another one is meant. Join \
             it: {JOIN}"
        ),
        ProtocolVersion => "what listens there speaks no TLS 1.3".to_owned(),
        NoApplicationProtocol => "what listens there speaks TLS, and neither HTTP/2 nor HTTP/1.1 in it".to_owned(),
        other => format!("the coordinator ended the handshake ({other:?})"),
    }
}

/// A time as a person reads it, to the second.
fn shown(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    // No certificate is of a year with five digits; one that says so is shown by its seconds.
    Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s after 1970"), |time| time.to_string())
}

#[cfg(test)]
mod tests;
