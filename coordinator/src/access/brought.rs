//! A certificate that the operator brought, in two files that somebody else renews: certbot, another program, a person.
//!
//! The files are looked at once in [`LOOK_EVERY`]. What is shown at the next handshake is the newest pair that machines which have joined
//! would take, and connections live on. What they would not take is refused: they trust one issuer, and meet the coordinator by the names
//! that its certificate had. A renewal replaces one file after the other, so a pair is called wrong only when a second look finds the same.
//!
//! Promise (property tests below): what is in use is the last pair that was good; whatever is wrong is said once; of a certificate that is
//! about to end is told once a day, from [`WARN_BEFORE`] on, or from the last fifth of a shorter life.

use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vertigo::id::Millis;
use vertigo::times::moment;
use vertigo_access::anchor::Anchor;
use vertigo_access::life::Life;
use vertigo_access::tls::{Held, HeldError, Shown};

/// Between two looks at the files.
pub const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long before a certificate ends whoever reads the log is told, at most.
pub const WARN_BEFORE: Duration = Duration::from_secs(DAY_MS / 1000 * 30);

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Bytes of a file, at most: a chain is a tenth of it.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// What is wrong with what was brought.
#[derive(Debug, thiserror::Error)]
pub enum BroughtError {
    /// A file cannot be read as what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The two do not belong together, or machines would not take them.
    #[error("{} with {}: {error}", certificate.display(), key.display())]
    Held {
        /// The one file.
        certificate: PathBuf,
        /// The other.
        key: PathBuf,
        /// Why.
        error: HeldError,
    },
}

/// Where they are. Links are followed at each look.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate with its issuers behind it, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// What was in the files.
#[derive(Debug, Clone)]
struct Pair {
    held: Held,
    life: Life,
    print: Print,
}

/// What tells one content of the files from another.
type Print = [u8; 32];

/// A certificate that the operator brought, as it was when the coordinator started.
#[derive(Debug, Clone)]
pub struct Brought {
    files: Files,
    first: Pair,
    look_every: Duration,
}

impl Brought {
    /// What is in the files now.
    ///
    /// # Errors
    /// They hold no certificate with its key.
    pub fn read(files: Files) -> Result<Brought, BroughtError> {
        let (_, first) = files.look();
        Ok(Brought { first: first?, files, look_every: LOOK_EVERY })
    }

    /// The same, whose files are looked at as often as this.
    pub fn looked_at_every(self, look_every: Duration) -> Brought {
        Brought { look_every, ..self }
    }

    /// What is shown at first.
    pub fn held(&self) -> Held {
        self.first.held.clone()
    }

    /// Shows what the files have from now on, for ever. `names`: at which machines reach the coordinator.
    pub async fn follow(&self, shown: &Shown, names: &[String]) {
        let mut follower = Follower::new(self, names);
        loop {
            let files = self.files.clone();
            // Fails where the process ends.
            if let Ok(seen) = tokio::task::spawn_blocking(move || files.look()).await {
                let (taken, says) = follower.decide(Millis::now(), seen);
                taken.into_iter().for_each(|held| shown.replace(held));
                says.into_iter().for_each(|said| said.log(&self.files));
            }
            tokio::time::sleep(self.look_every).await;
        }
    }
}

/// What is known of the files, and what machines want.
struct Follower {
    files: Files,
    wanted: Wanted,
    watch: Watch,
}

impl Follower {
    fn new(Brought { files, first, .. }: &Brought, names: &[String]) -> Follower {
        let (wanted, watch) = (Wanted::of(first, names), Watch::new(first.print, first.life));
        Follower { files: files.clone(), wanted, watch }
    }

    /// What is shown from now on, where that is another one, and what the log is told.
    fn decide(&mut self, now: Millis, (print, read): (Print, Result<Pair, BroughtError>)) -> (Option<Held>, Vec<Said>) {
        let read = read.and_then(|pair| self.wanted.check(pair, &self.files, now));
        let found = read.as_ref().map(|pair| pair.life).map_err(ToString::to_string);
        let Decision { takes, says } = self.watch.look(now, print, found);
        (read.ok().filter(|_| takes).map(|pair| pair.held), says)
    }
}

/// What machines that have joined hold a certificate to.
struct Wanted {
    anchor: Anchor,
    names: Vec<String>,
}

impl Wanted {
    /// The names that the first certificate has, or all where it has none of them.
    fn of(first: &Pair, names: &[String]) -> Wanted {
        let anchor = first.held.anchor();
        let has = |name: &&String| first.held.serves(&anchor, name, first.life.made).is_ok();
        let had: Vec<String> = names.iter().filter(has).cloned().collect();
        Wanted { anchor, names: if had.is_empty() { names.to_vec() } else { had } }
    }

    fn check(&self, pair: Pair, files: &Files, now: Millis) -> Result<Pair, BroughtError> {
        match self.names.iter().try_for_each(|name| pair.held.serves(&self.anchor, name, now)) {
            Ok(()) => Ok(pair),
            Err(error) => Err(files.wrong(error)),
        }
    }
}

impl Files {
    fn wrong(&self, error: HeldError) -> BroughtError {
        BroughtError::Held { certificate: self.certificate.clone(), key: self.key.clone(), error }
    }

    fn look(&self) -> (Print, Result<Pair, BroughtError>) {
        let (certificate, key) = (contents(&self.certificate), contents(&self.key));
        let mut hasher = Sha256::new();
        for found in [&certificate, &key] {
            match found {
                Ok(bytes) => hasher.update(Sha256::digest(bytes)),
                Err(error) => hasher.update(error.to_string()),
            }
        }
        let print = hasher.finalize().into();
        (print, certificate.and_then(|certificate| self.pair(&certificate, &key?, print)))
    }

    fn pair(&self, certificate: &[u8], key: &[u8], print: Print) -> Result<Pair, BroughtError> {
        let failed = |path: &Path, error: PemError| {
            let problem = match error {
                PemError::NoItemsFound => "there is nothing of that kind in it".to_owned(),
                _ => "it is no PEM, or not all of it".to_owned(),
            };
            BroughtError::File { path: path.to_owned(), problem }
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|error| failed(&self.certificate, error))?;
        if chain.is_empty() {
            return Err(failed(&self.certificate, PemError::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| failed(&self.key, error))?;
        let held = Held::new(chain, key).map_err(|error| self.wrong(error))?;
        let life = held.life().map_err(|error| self.wrong(error))?;
        Ok(Pair { held, life, print })
    }
}

fn contents(path: &Path) -> Result<Vec<u8>, BroughtError> {
    let failed = |problem: String| BroughtError::File { path: path.to_owned(), problem };
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
        // One more than fits, so that what is too long is noticed. A pipe has no length and would keep us waiting.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(bytes)
    };
    read(&mut bytes).map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(failed("it is too long".to_owned())) } else { Ok(bytes) }
}

/// What follows from a look.
#[derive(Debug, Default, PartialEq, Eq)]
struct Decision {
    /// What was found is shown from now on.
    takes: bool,
    says: Vec<Said>,
}

/// What the log is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// A new one is in use, until then.
    Taken(Millis),
    /// This is wrong with what is in the files; what is in use is so until then.
    Refused(String, Millis),
    /// What is in use ends then, and there is no other.
    EndsSoon(Millis),
    /// What is in use ended then.
    Ended(Millis),
}

impl Said {
    fn log(self, Files { certificate, .. }: &Files) {
        let file = certificate.display();
        match self {
            Said::Taken(ends) => tracing::info!(%file, ends = moment(ends), "a new certificate is used from now on"),
            Said::Refused(problem, ends) => tracing::error!(
                problem,
                in_use_until = moment(ends),
                "the new certificate is refused, and the one before stays in use. Whoever joined trusts its issuer and its names: a restart \
                 takes another, and then all join again"
            ),
            Said::EndsSoon(ends) => tracing::warn!(
                %file, ends = moment(ends), "the certificate ends soon: renew it in its place, and it is taken within a minute"
            ),
            Said::Ended(ended) => tracing::error!(
                %file, ended = moment(ended), "the certificate has ended and nobody can connect: renew it in its place"
            ),
        }
    }
}

/// What is known from looks before.
#[derive(Debug)]
struct Watch {
    in_use: Print,
    life: Life,
    /// What was found wrong last, and whether that is said.
    wrong: Option<(Print, bool)>,
    warned: Option<Millis>,
}

impl Watch {
    fn new(in_use: Print, life: Life) -> Watch {
        Watch { in_use, life, wrong: None, warned: None }
    }

    /// What follows from what was found: how long the pair lives, or what is wrong with it.
    fn look(&mut self, now: Millis, print: Print, found: Result<Life, String>) -> Decision {
        let mut decision = Decision::default();
        if print == self.in_use {
            // Whatever a clock makes of it: there is no better one.
            self.wrong = None;
        } else {
            match found {
                Ok(life) => {
                    (self.in_use, self.life, self.wrong, self.warned) = (print, life, None, None);
                    decision = Decision { takes: true, says: vec![Said::Taken(life.ends)] };
                }
                Err(problem) => match self.wrong {
                    Some((known, true)) if known == print => {}
                    Some((known, false)) if known == print => {
                        self.wrong = Some((print, true));
                        decision.says.push(Said::Refused(problem, self.life.ends));
                    }
                    _ => self.wrong = Some((print, false)),
                },
            }
        }
        decision.says.extend(self.warning(now));
        decision
    }

    fn warning(&mut self, now: Millis) -> Option<Said> {
        let Life { made, ends } = self.life;
        let before = (ends.0.saturating_sub(made.0) / 5).min(WARN_BEFORE.as_millis() as u64);
        let is_told =
            self.warned.is_some_and(|at| now.0.saturating_sub(at.0) < DAY_MS && (at >= ends) == (now >= ends));
        if now.0.saturating_add(before) < ends.0 || is_told {
            return None;
        }
        self.warned = Some(now);
        Some(if now >= ends { Said::Ended(ends) } else { Said::EndsSoon(ends) })
    }
}

#[cfg(test)]
mod tests;
