//! Who may speak to this coordinator beyond loopback: its authority, its tokens and its principals, in a folder of the state.
//!
//! ```text
//! authority.pem   the key that signs certificates, and its certificate
//! registry.json   tokens, by the hashes of their secrets, and principals
//! admin-token     a token for an administrator, who reads it on this machine; made anew at each start
//! ```
//!
//! What is decided is in [`registry`] and [`tries`]; here it is kept. Promise: what was answered is on disk, and a change that could not be
//! written has not happened; the files are their owner's alone. A principal that is revoked is refused from the moment of the answer on,
//! and its connections are ended by whoever listens to [`Access::revocations`].

pub mod brought;
pub mod names;
pub mod quota;
pub mod registry;
pub mod tries;

use brought::Brought;
use quota::{Exceeded, Sent};
use registry::{Denied, Joined, Joiner, KeptToken, NewToken, Principal, Registry, TTL_MAX};
use sha2::Digest as _;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::broadcast;
use tries::{TooMany, Tries};
use vertigo::bytes::Bytes;
use vertigo::endpoint::Endpoint;
use vertigo::files::{FileError, write_private};
use vertigo::id::{Millis, PrincipalId, TokenId};
use vertigo::principal::{PrincipalName, Role};
use vertigo::secret::{Installed, Secret, SecretHash};
use vertigo_access::anchor::Anchor;
use vertigo_access::authority::{Authority, AuthorityError};
use vertigo_access::life::{self, Life, Skew};
use vertigo_access::tls::{self, HeldError, Shown};
use vertigo_access::token::{ADDRESSES_MAX, Token};

/// The namespace of whoever has no other, and of all that there is.
pub const DEFAULT_NAMESPACE: &str = "default";

/// What of the folder has to be there tomorrow.
pub const FILES: [&str; 2] = [AUTHORITY, REGISTRY];

const AUTHORITY: &str = "authority.pem";
const REGISTRY: &str = "registry.json";

/// The folder of access, in a state or in a backup.
pub fn folder_in(state: &Path) -> PathBuf {
    state.join("access")
}

/// Revocations that wait for whoever ends connections; one that missed some ends all that are not known any more.
const REVOCATIONS_WAITING: usize = 256;

/// Until the coordinator's own certificate is tried to be made again, where that failed.
const AGAIN: Duration = Duration::from_secs(10);

/// Why access could not be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Who asks is not let in, or asks for what cannot be.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Too many did not get in.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// A clock.
    #[error(transparent)]
    Skew(#[from] Skew),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file's contents.
    #[error("{}: {problem}: restore it from a backup", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The coordinator's own certificate.
    #[error(transparent)]
    Held(#[from] HeldError),
}

/// What the operator chose.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Names and addresses at which machines reach the coordinator, the best first.
    pub names: Vec<String>,
    /// Where it listens.
    pub port: u16,
    /// How long certificates can be used.
    pub life: Duration,
    /// How much a principal may send within a day.
    pub upload_quota: Bytes,
    /// A certificate that the operator brought, instead of one of the coordinator's own authority.
    pub brought: Option<Brought>,
}

/// Who is let in. Clones share it.
#[derive(Debug, Clone)]
pub struct Access(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    authority: Authority,
    shown: Shown,
    /// What the certificate that the coordinator shows leads to.
    anchor: Anchor,
    settings: Settings,
    path: PathBuf,
    registry: Mutex<Registry>,
    tries: Mutex<Tries>,
    sent: Mutex<Sent>,
    revocations: broadcast::Sender<PrincipalId>,
}

/// An upload that is under way. When it is dropped, what came of it counts against its principal's quota.
#[derive(Debug)]
pub struct Upload {
    access: Access,
    id: PrincipalId,
    bytes: Bytes,
    came: Bytes,
}

impl Upload {
    /// So many bytes more have come.
    pub fn came(&mut self, bytes: usize) {
        self.came.0 = self.came.0.saturating_add(bytes as u64);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.access.sent().end(Millis::now(), self.id, self.bytes, self.came);
    }
}

/// A certificate that was granted.
#[derive(Debug, Clone)]
pub struct Granted {
    /// DER: the certificate, then the authority's.
    pub chain: Vec<Vec<u8>>,
    /// When it ends. Its principal may have another that ends later.
    pub ends: Millis,
    /// Whose it is.
    pub principal: Principal,
}

/// Who asks to join.
#[derive(Debug)]
pub struct Asks {
    /// The token's.
    pub secret: Secret,
    /// A certificate request, DER.
    pub request: Vec<u8>,
    /// What it wants to be called.
    pub name: Option<PrincipalName>,
    /// What it is to be called where neither it nor the token says.
    pub otherwise: Option<PrincipalName>,
    /// Of a worker.
    pub worker: Option<Installed>,
    /// Its clock.
    pub clock: Millis,
}

impl Access {
    /// What the folder holds, which is made where there is none.
    ///
    /// # Errors
    /// A file of it; a name that no certificate can have.
    pub fn open(folder: &Path, settings: Settings, now: Millis) -> Result<Access, AccessError> {
        let authority = Authority::open(&folder.join(AUTHORITY), now)?;
        let path = folder.join(REGISTRY);
        let registry = read(&path)?;
        let held = match &settings.brought {
            Some(brought) => brought.held(),
            None => authority.for_server(&settings.names, Life::from(now, settings.life))?,
        };
        Ok(Access(Arc::new(Inner {
            authority,
            anchor: held.anchor(),
            shown: Shown::new(held),
            settings,
            path,
            registry: Mutex::new(registry),
            tries: Mutex::default(),
            sent: Mutex::default(),
            revocations: broadcast::Sender::new(REVOCATIONS_WAITING),
        })))
    }

    /// TLS as the coordinator speaks it.
    ///
    /// # Errors
    /// The authority's certificate is none.
    pub fn tls(&self) -> Result<rustls::ServerConfig, HeldError> {
        tls::server(&self.0.shown, &self.0.authority.anchor())
    }

    /// Names that requests may be for.
    pub fn names(&self) -> &[String] {
        &self.0.settings.names
    }

    /// Makes the coordinator's own certificate anew whenever two thirds of its life are over, for ever; one that was brought is taken anew
    /// when somebody renewed it. Connections live on.
    pub async fn renew_own(&self) {
        let inner = &self.0;
        if let Some(brought) = &inner.settings.brought {
            return brought.follow(&inner.shown, &inner.settings.names).await;
        }
        let mut life = Life::from(Millis::now(), inner.settings.life);
        loop {
            while let Some(pause) = life.pause(Millis::now()) {
                tokio::time::sleep(pause).await;
            }
            let next = Life::from(Millis::now(), inner.settings.life);
            match inner.authority.for_server(&inner.settings.names, next) {
                Ok(held) => {
                    inner.shown.replace(held);
                    life = next;
                }
                Err(error) => {
                    tracing::error!(%error, "the coordinator's own certificate could not be renewed");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    /// Who is revoked from now on.
    pub fn revocations(&self) -> broadcast::Receiver<PrincipalId> {
        self.0.revocations.subscribe()
    }

    /// Who a certificate's principal is.
    ///
    /// # Errors
    /// It is not known, or was revoked.
    pub fn principal(&self, id: PrincipalId) -> Result<Principal, Denied> {
        self.registry().live(id).cloned()
    }

    /// Begins an upload of a principal, which says that it brings so much.
    ///
    /// # Errors
    /// It has sent as much as it may.
    pub fn begin_upload(&self, now: Millis, id: PrincipalId, bytes: Bytes) -> Result<Upload, Exceeded> {
        self.sent().begin(now, id, bytes, self.0.settings.upload_quota)?;
        Ok(Upload { access: self.clone(), id, bytes, came: Bytes::ZERO })
    }

    /// Lets somebody in for a token.
    ///
    /// # Errors
    /// Why not. A wrong secret counts against `from`, what fails with a right one against its token.
    pub fn join(&self, now: Millis, from: IpAddr, asks: &Asks) -> Result<Granted, AccessError> {
        // Counted before it is known whether it fails, so that who tries many at once tries no more often.
        let tried = Instant::now();
        self.tries().begin(tried, from)?;
        // Nothing that costs more than this is done for whoever holds no token.
        let token = self.registry().token_of(asks.secret.hash());
        let Some(token) = token else {
            let (is_told, untold) = self.tries().told(tried);
            if is_told {
                tracing::warn!(%from, untold, "somebody tried to join with a token that is none of ours");
            }
            return Err(Denied::Token.into());
        };
        self.tries().begin_with(tried, from, token)?;
        let joined = self.join_for(now, from, asks);
        match &joined {
            Ok(_) => self.tries().succeeded(tried, token),
            Err(error) => tracing::warn!(%from, %token, %error, "somebody with a token of ours did not get in"),
        }
        joined
    }

    fn join_for(&self, now: Millis, from: IpAddr, asks: &Asks) -> Result<Granted, AccessError> {
        life::compare(asks.clock, now)?;
        let life = Life::from(now, self.0.settings.life);
        let key = Secret::from(<[u8; 32]>::from(sha2::Sha256::digest(&asks.request))).hash();
        let joiner = Joiner {
            secret: asks.secret.hash(),
            key,
            name: asks.name.clone(),
            otherwise: asks.otherwise.clone(),
            worker: asks.worker,
            certificate_ends: life.ends,
        };
        // The request is looked at first, so that one that is none uses up no token.
        self.chain(&asks.request, PrincipalId::new(), &PrincipalName::local(), life)?;
        let Joined { principal, replaces } = self.change(|registry| registry.join(now, &joiner))?;
        tracing::info!(principal = %principal.name, role = %principal.role, %from, "joined");
        if let Some(before) = replaces {
            // Fails where nobody listens, which is where nobody is connected.
            let _ = self.0.revocations.send(before);
        }
        let chain = self.chain(&asks.request, principal.id, &principal.name, life)?;
        Ok(Granted { chain, ends: life.ends, principal })
    }

    /// The next certificate of a principal.
    ///
    /// # Errors
    /// Why not.
    pub fn renew(&self, now: Millis, id: PrincipalId, request: &[u8], clock: Millis) -> Result<Granted, AccessError> {
        life::compare(clock, now)?;
        let life = Life::from(now, self.0.settings.life);
        let name = self.principal(id)?.name;
        let chain = self.chain(request, id, &name, life)?;
        let principal = self.change(|registry| registry.renew(id, life.ends))?;
        Ok(Granted { chain, ends: life.ends, principal })
    }

    fn chain(
        &self,
        request: &[u8],
        id: PrincipalId,
        name: &PrincipalName,
        life: Life,
    ) -> Result<Vec<Vec<u8>>, AccessError> {
        let chain = self.0.authority.for_principal(request, id, name, life)?;
        Ok(chain.iter().map(|der| der.to_vec()).collect())
    }

    /// Makes a token, and the line to paste, which is told once.
    ///
    /// # Errors
    /// A time or number beyond what is sensible.
    pub fn create_token(&self, now: Millis, new: NewToken) -> Result<(KeptToken, String), AccessError> {
        let secret = Secret::from(rand::random::<[u8; 32]>());
        let hash: SecretHash = secret.hash();
        let kept = self.change(|registry| registry.create_token(now, hash, new))?;
        let token = Token {
            addresses: self.addresses(),
            anchor: self.0.anchor.fingerprint(),
            secret,
            role: kept.role,
            ends: kept.ends,
        };
        Ok((kept, token.line()))
    }

    /// Makes a token for an administrator, in a file that whoever owns the state can read: that one has the authority's key beside it and
    /// could make what certificates it likes. So the first administrator gets in, and one who lost a certificate does again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn offer_administrator(&self, now: Millis) -> Result<(), AccessError> {
        let path = self.administrator_path();
        let before = fs::read_to_string(&path).ok().and_then(|line| line.parse::<Token>().ok());
        if let Some(before) = before {
            self.change(|registry| {
                registry.forget_token(before.secret.hash());
                Ok(())
            })?;
        }
        let new = NewToken {
            role: Role::Admin,
            ttl: TTL_MAX,
            uses: 1,
            name: Some(PrincipalName::administrator()),
            namespace: DEFAULT_NAMESPACE.to_owned(),
            made_by: PrincipalName::local(),
        };
        let (_, line) = self.create_token(now, new)?;
        Ok(write_private(&path, format!("{line}\n").as_bytes())?)
    }

    /// Where a token for an administrator lies.
    pub fn administrator_path(&self) -> PathBuf {
        self.0.path.with_file_name("admin-token")
    }

    /// Where machines reach the coordinator, the best first.
    pub fn addresses(&self) -> Vec<Endpoint> {
        let Settings { names, port, .. } = &self.0.settings;
        // A machine elsewhere that asked its own loopback would meet somebody else, or nobody; alone it is all that there is.
        let is_own = |name: &&String| !names::is_loopback(name);
        let told: Vec<&String> = if names.iter().any(|name| is_own(&name)) {
            names.iter().filter(is_own).collect()
        } else {
            names.iter().collect()
        };
        told.into_iter().filter_map(|name| names::endpoint(name, *port)).take(ADDRESSES_MAX).collect()
    }

    /// Tokens that can be used, newest first.
    pub fn tokens(&self, now: Millis) -> Vec<KeptToken> {
        self.registry().tokens(now)
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`Denied::NoToken`].
    pub fn revoke_token(&self, now: Millis, id: TokenId) -> Result<KeptToken, AccessError> {
        self.change(|registry| registry.revoke_token(now, id))
    }

    /// All that ever joined, by name.
    pub fn principals(&self) -> Vec<Principal> {
        self.registry().principals()
    }

    /// Ends a principal and its certificates.
    ///
    /// # Errors
    /// Nobody is called so.
    pub fn revoke(&self, now: Millis, name: &PrincipalName) -> Result<Principal, AccessError> {
        let gone = self.change(|registry| registry.revoke(now, name))?;
        // Fails where nobody listens, which is where nobody is connected.
        let _ = self.0.revocations.send(gone.id);
        Ok(gone)
    }

    /// Changes the registry, on disk first.
    fn change<T>(&self, change: impl FnOnce(&mut Registry) -> Result<T, Denied>) -> Result<T, AccessError> {
        let mut registry = self.registry();
        let mut changed = registry.clone();
        let told = change(&mut changed)?;
        let text = serde_json::to_vec_pretty(&changed)
            .map_err(|error| AccessError::Damaged { path: self.0.path.clone(), problem: error.to_string() })?;
        write_private(&self.0.path, &text)?;
        *registry = changed;
        Ok(told)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.0.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        self.0.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Registry, AccessError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Registry::default()),
        text => text.map_err(|error| FileError { path: path.to_owned(), error })?,
    };
    serde_json::from_slice(&text)
        .map_err(|error| AccessError::Damaged { path: path.to_owned(), problem: error.to_string() })
}

#[cfg(test)]
mod tests;
