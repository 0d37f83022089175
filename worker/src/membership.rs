//! Who this worker is to its coordinator: by a certificate, or by speaking on the coordinator's own machine.
//!
//! `vertigo-worker join` gets the certificate for a token, and keeps it in the worker's folder as `identity.json`. The daemon asks for the
//! next one when two thirds of its life are over, and shows it from the next connection on; connections that there are live on.

use rand::random_range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vertigo::endpoint::Endpoint;
use vertigo::files::try_keeping;
use vertigo::id::Millis;
use vertigo::principal::PrincipalName;
use vertigo::secret::Installed;
use vertigo_access::identity::{Identity, IdentityError};
use vertigo_access::tls::Shown;
use vertigo_access::token::Token;
use vertigo_client::joining::{self, JoinError, Newcomer};
use vertigo_client::{Access, AccessError};

/// Until the next certificate is asked for again, where asking failed: between these, and spread over them, so that a fleet does not come
/// back at once to a coordinator that was away.
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60 * 60);

/// Why a worker is nobody to its coordinator.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// Its certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An address and certificates that do not go together.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// It did not join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// Its certificate cannot be kept.
    #[error(transparent)]
    File(#[from] vertigo::files::FileError),
}

/// Who this worker is.
#[derive(Debug)]
pub struct Membership {
    /// How the coordinator is reached.
    pub access: Access,
    certificate: Option<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    path: PathBuf,
    identity: Identity,
    shown: Shown,
}

fn identity_path(folder: &Path) -> PathBuf {
    folder.join("identity.json")
}

impl Membership {
    /// Of the worker whose folder this is, to the coordinator at `endpoint`, or to the one that it joined, or to the one on this machine.
    ///
    /// # Errors
    /// A damaged certificate; an address that takes one where there is none.
    pub fn of(folder: &Path, endpoint: Option<Endpoint>) -> Result<Membership, MembershipError> {
        let path = identity_path(folder);
        if endpoint.as_ref().is_some_and(|endpoint| !endpoint.is_tls()) {
            return Ok(Membership { access: Access::plain(endpoint.unwrap_or_default())?, certificate: None });
        }
        let Some(identity) = Identity::read(&path)? else {
            return Ok(Membership { access: Access::plain(endpoint.unwrap_or_default())?, certificate: None });
        };
        let (config, shown) = identity.tls()?;
        let access = Access::new(endpoint.unwrap_or_else(|| identity.coordinator.clone()), Some(config))?;
        Ok(Membership { access, certificate: Some(Certificate { path, identity, shown }) })
    }

    /// What the coordinator calls it, where it has a certificate.
    pub fn name(&self) -> Option<&PrincipalName> {
        self.certificate.as_ref().map(|certificate| &certificate.identity.principal)
    }

    /// Asks for the next certificate in time, for ever.
    pub async fn renew(self) -> std::convert::Infallible {
        let Membership { access, certificate } = self;
        let Some(mut certificate) = certificate else { return std::future::pending().await };
        loop {
            while let Some(pause) = certificate.identity.life.pause(Millis::now()) {
                tokio::time::sleep(pause).await;
            }
            match next(&access, &certificate).await {
                Ok(renewed) => {
                    tracing::info!("the next certificate is here");
                    certificate.identity = renewed;
                    let ends = certificate.identity.life.ends;
                    keep(&certificate.identity, &certificate.path, || again(ends, Millis::now())).await;
                }
                Err(error) => {
                    let again = again(certificate.identity.life.ends, Millis::now());
                    tracing::warn!(%error, ?again, "the next certificate did not come");
                    tokio::time::sleep(again).await;
                }
            }
        }
    }
}

/// The next certificate, shown from now on.
async fn next(access: &Access, before: &Certificate) -> Result<Identity, MembershipError> {
    let renewed = joining::renew(access, &before.identity).await?;
    before.shown.replace(renewed.held()?);
    Ok(renewed)
}

/// Keeps a certificate, however long the disk has no room for it: this process shows it already, and the next one needs it.
async fn keep(identity: &Identity, path: &Path, again: impl Fn() -> Duration) {
    while let Err(error) = identity.write(path) {
        let again = again();
        tracing::error!(%error, ?again, "the next certificate cannot be kept: until it is, it is gone with this process");
        tokio::time::sleep(again).await;
    }
}

/// When asking is tried again: often enough that a certificate of any life is renewed before it ends.
fn again(ends: Millis, now: Millis) -> Duration {
    let left = Duration::from_millis(ends.0.saturating_sub(now.0));
    // Once it has ended only a person helps, who joins anew: then it is started again.
    let pause = if left.is_zero() { AGAIN_MAX } else { (left / 20).clamp(AGAIN_MIN, AGAIN_MAX) };
    pause.mul_f64(random_range(0.5..1.0))
}

/// Joins the coordinator of a token as `worker`, and keeps who it is there.
///
/// # Errors
/// Why it did not.
pub async fn join(
    folder: &Path,
    worker: Installed,
    token: &Token,
    name: Option<PrincipalName>,
    otherwise: Option<PrincipalName>,
) -> Result<Identity, MembershipError> {
    // Before the token is used, which opens once.
    try_keeping(folder)?;
    let identity = joining::join(token, &Newcomer { name, otherwise, worker: Some(worker) }).await?;
    identity.write(&identity_path(folder))?;
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vertigo::id::PrincipalId;
    use vertigo::principal::Role;
    use vertigo_access::authority::Authority;
    use vertigo_access::identity::{Granted, Request};
    use vertigo_access::life::{LEAF_LIFE, Life};

    proptest! {
        #[test]
        fn asking_again_is_neither_a_flood_nor_too_late(ends in 0u64..1 << 45, now in 0u64..1 << 45) {
            let pause = again(Millis(ends), Millis(now));
            prop_assert!(pause >= AGAIN_MIN / 2 && pause <= AGAIN_MAX);
            let left = ends.saturating_sub(now);
            prop_assert!(left == 0 || pause.as_millis() as u64 <= (left / 20).max(1_000));
        }
    }

    #[tokio::test]
    async fn a_certificate_is_kept_once_the_disk_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(&dir.path().join("authority.pem"), Millis::now()).unwrap();
        let (request, name) = (Request::new().unwrap(), "mac".parse::<PrincipalName>().unwrap());
        let life = Life::from(Millis::now(), LEAF_LIFE);
        let chain = authority.for_principal(&request.der, PrincipalId::new(), &name, life).unwrap();
        let chain = chain.iter().map(|der| der.to_vec()).collect();
        let granted = Granted { chain, principal: name, role: Role::Worker, life };
        let coordinator = "https://10.0.0.5:7420".parse().unwrap();
        let identity = Identity::new(&request, granted, coordinator, authority.anchor()).unwrap();
        // A folder that is not there yet takes as little as a full disk.
        let path = dir.path().join("later/identity.json");
        let folder = path.parent().unwrap().to_owned();
        let tries = std::cell::Cell::new(0);
        let again = || {
            tries.set(tries.get() + 1);
            if tries.get() == 3 {
                std::fs::create_dir(&folder).unwrap();
            }
            Duration::from_millis(1)
        };
        keep(&identity, &path, again).await;
        assert_eq!(tries.get(), 3);
        assert_eq!(Identity::read(&path).unwrap().unwrap().life, life);
    }

    #[test]
    fn without_a_certificate_it_is_the_coordinator_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let it = Membership::of(dir.path(), None).unwrap();
        assert_eq!((it.access.endpoint(), it.name()), (&Endpoint::default(), None));
        let far = Membership::of(dir.path(), Some("https://10.0.0.5:7420".parse().unwrap())).unwrap_err();
        assert!(far.to_string().contains("vertigo-worker join"), "{far}");
    }
}
