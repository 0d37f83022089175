//! Tokens and principals: who may join, and who has.
//!
//! A state machine without I/O or a clock: the moment comes in as an argument, and [`super::Access`] keeps what comes out.
//!
//! It promises (property tests in `registry/tests.rs`): a token lets in as many principals as it says, within its time, with its role; a
//! call that is made again with the same key gets the same principal; of two principals with one name at most one is not revoked; one that
//! was revoked is never let in again, nor is anybody by the token that it came with; of a secret only its hash is here.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use vertigo::id::{Millis, PrincipalId, TokenId, WorkerId};
use vertigo::principal::{PrincipalName, PrincipalNameError, Role};
use vertigo::secret::{Installed, SecretHash};

/// Tokens that can be used at a time.
pub const TOKENS_MAX: usize = 1_000;

/// Principals that are kept, revoked ones too.
pub const PRINCIPALS_MAX: usize = 10_000;

/// How often a token can be used, at most.
pub const USES_MAX: u32 = 1_000;

/// How long a token can be used, at most.
pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a token can be used, at least: somebody has to carry it to another machine.
pub const TTL_MIN: Duration = Duration::from_secs(10);

/// Why somebody does not get in, or a token is not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// It says the same of every token that cannot be used, so that nobody learns which there are.
    #[error("this token does not open anything here: it is wrong, used up, revoked or past its time")]
    Token,
    /// Another principal has the name.
    #[error("`{0}` has joined already")]
    NameTaken(PrincipalName),
    /// A worker's id that is another installation's.
    #[error(
        "a worker of this id has joined already, and is another installation: remove `worker-id` in this one's folder"
    )]
    OtherInstallation,
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] PrincipalNameError),
    /// Neither the token nor who joins says a name.
    #[error("who joins has to say what it is to be called")]
    NoName,
    /// A token of another role than that of the program that uses it.
    #[error("this token is for {token}, and a {asked} is joining with it")]
    Role {
        /// Of the token.
        token: &'static str,
        /// Who joins.
        asked: &'static str,
    },
    /// It was, and is no more.
    #[error("`{0}` has been revoked")]
    Revoked(PrincipalName),
    /// Nobody of that certificate.
    #[error("this coordinator knows no principal of that certificate")]
    Unknown,
    /// No token of that id.
    #[error("there is no token {0}")]
    NoToken(TokenId),
    /// No principal of that name.
    #[error("no principal is called `{0}`")]
    NoPrincipal(PrincipalName),
    /// How long it is to live.
    #[error("a token can be used for {} s to {} days", TTL_MIN.as_secs(), TTL_MAX.as_secs() / 86_400)]
    Ttl,
    /// How often it is to be used.
    #[error("a token can be used up to {USES_MAX} times")]
    Uses,
    /// Too many of them.
    #[error("there are {0} {1} already, and no room for more")]
    Full(usize, &'static str),
}

/// A token, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptToken {
    /// What lists name it by.
    pub id: TokenId,
    hash: SecretHash,
    /// What it gives.
    pub role: Role,
    /// When it was made.
    pub created: Millis,
    /// Until when it can be used.
    pub ends: Millis,
    /// How often it can be used still.
    pub uses_left: u32,
    /// What who joins with it is called.
    pub name: Option<PrincipalName>,
    /// What who joins with it sees.
    pub namespace: String,
    /// Who made it.
    pub made_by: PrincipalName,
    /// Who joined with it, by their keys, so that a call whose answer was lost can be made again.
    joined: Vec<(SecretHash, PrincipalId)>,
}

/// Somebody who has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    /// What its certificates say.
    pub id: PrincipalId,
    /// What people call it.
    pub name: PrincipalName,
    /// What it may do.
    pub role: Role,
    /// When it joined.
    pub joined: Millis,
    /// When it was revoked, where it was.
    pub revoked: Option<Millis>,
    /// When its newest certificate ends.
    pub ends: Millis,
    /// Of a worker: the one id that it speaks as.
    pub worker: Option<WorkerId>,
    /// Of that worker's installation, which alone takes its place.
    worker_secret: Option<SecretHash>,
    /// What it sees.
    pub namespace: String,
}

/// What a token is to be.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it gives.
    pub role: Role,
    /// How long it can be used.
    pub ttl: Duration,
    /// How often.
    pub uses: u32,
    /// What who joins with it is called.
    pub name: Option<PrincipalName>,
    /// What who joins with it sees.
    pub namespace: String,
    /// Who makes it.
    pub made_by: PrincipalName,
}

/// Who wants to join.
#[derive(Debug, Clone)]
pub struct Joiner {
    /// Of the token's secret.
    pub secret: SecretHash,
    /// Of its key.
    pub key: SecretHash,
    /// What it wants to be called.
    pub name: Option<PrincipalName>,
    /// What it is to be called where neither it nor the token says.
    pub otherwise: Option<PrincipalName>,
    /// Of a worker: which it is.
    pub worker: Option<Installed>,
    /// When the certificate that it gets will end.
    pub certificate_ends: Millis,
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Who it is now.
    pub principal: Principal,
    /// Who it takes the place of: the same worker, which joined before.
    pub replaces: Option<PrincipalId>,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    tokens: Vec<KeptToken>,
    principals: BTreeMap<PrincipalId, Principal>,
}

impl Registry {
    /// Keeps a token of which only the hash of its secret is known here.
    ///
    /// # Errors
    /// A time or number beyond what is sensible; [`Denied::Full`].
    pub fn create_token(&mut self, now: Millis, hash: SecretHash, new: NewToken) -> Result<KeptToken, Denied> {
        self.forget_ended(now);
        if !(TTL_MIN..=TTL_MAX).contains(&new.ttl) {
            return Err(Denied::Ttl);
        }
        if !(1..=USES_MAX).contains(&new.uses) {
            return Err(Denied::Uses);
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(Denied::Full(TOKENS_MAX, "tokens"));
        }
        let token = KeptToken {
            id: TokenId::new(),
            hash,
            role: new.role,
            created: now,
            ends: Millis(now.0 + new.ttl.as_millis() as u64),
            uses_left: new.uses,
            name: new.name,
            namespace: new.namespace,
            made_by: new.made_by,
            joined: Vec::new(),
        };
        self.tokens.push(token.clone());
        Ok(token)
    }

    /// Tokens that can be used, newest first.
    pub fn tokens(&self, now: Millis) -> Vec<KeptToken> {
        self.tokens.iter().rev().filter(|token| token.uses_left > 0 && now < token.ends).cloned().collect()
    }

    /// Ends a token.
    ///
    /// # Errors
    /// [`Denied::NoToken`].
    pub fn revoke_token(&mut self, now: Millis, id: TokenId) -> Result<KeptToken, Denied> {
        self.forget_ended(now);
        let at = self.tokens.iter().position(|token| token.id == id).ok_or(Denied::NoToken(id))?;
        Ok(self.tokens.remove(at))
    }

    /// Ends the token of a secret, where there is one.
    pub fn forget_token(&mut self, hash: SecretHash) {
        self.tokens.retain(|token| token.hash != hash);
    }

    /// The token of a secret, whether it can be used or not. Every token is compared, each in a time that does not depend on where the two
    /// differ; that is all that a wrong secret costs.
    pub fn token_of(&self, secret: SecretHash) -> Option<TokenId> {
        let compare = |found, token: &KeptToken| if token.hash == secret { Some(token.id) } else { found };
        self.tokens.iter().fold(None, compare)
    }

    /// Lets somebody in for a token's secret.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn join(&mut self, now: Millis, joiner: &Joiner) -> Result<Joined, Denied> {
        let matching = self.token_of(joiner.secret).ok_or(Denied::Token)?;
        let at = self.tokens.iter().position(|token| token.id == matching).ok_or(Denied::Token)?;
        let token = &self.tokens[at];
        if now >= token.ends {
            return Err(Denied::Token);
        }
        let again = token.joined.iter().find(|(key, _)| *key == joiner.key).map(|(_, id)| *id);
        if let Some(id) = again {
            let principal = self.renew(id, joiner.certificate_ends)?;
            return Ok(Joined { principal, replaces: None });
        }
        if token.uses_left == 0 {
            return Err(Denied::Token);
        }
        match (token.role, joiner.worker) {
            (Role::Worker, None) => return Err(Denied::Role { token: "a worker", asked: "person" }),
            (Role::Read | Role::Submit | Role::Admin, Some(_)) => {
                return Err(Denied::Role { token: "a person", asked: "worker" });
            }
            _ => {}
        }
        let said = joiner.name.as_ref().or(token.name.as_ref()).or(joiner.otherwise.as_ref());
        let name = said.cloned().ok_or(Denied::NoName)?;
        let replaces = self.place_of(&name, joiner.worker)?;
        if self.principals.len() >= PRINCIPALS_MAX && !self.forget_revoked() {
            return Err(Denied::Full(PRINCIPALS_MAX, "principals"));
        }
        if let Some(before) = replaces.and_then(|id| self.principals.get_mut(&id)) {
            before.revoked = Some(now);
        }
        let token = &mut self.tokens[at];
        let principal = Principal {
            id: PrincipalId::new(),
            name,
            role: token.role,
            joined: now,
            revoked: None,
            ends: joiner.certificate_ends,
            worker: joiner.worker.map(|worker| worker.id),
            worker_secret: joiner.worker.map(|worker| worker.secret),
            namespace: token.namespace.clone(),
        };
        token.uses_left -= 1;
        token.joined.push((joiner.key, principal.id));
        self.principals.insert(principal.id, principal.clone());
        Ok(Joined { principal, replaces })
    }

    /// Whose place a newcomer of this name takes: nobody's, or that of the same worker, which has joined before and lost its certificate.
    fn place_of(&self, name: &PrincipalName, worker: Option<Installed>) -> Result<Option<PrincipalId>, Denied> {
        let mut live = self.principals.values().filter(|principal| principal.revoked.is_none());
        let before = worker.and_then(|worker| live.clone().find(|principal| principal.worker == Some(worker.id)));
        // One that was revoked counts where its secret is known: it may have leases still, and come back.
        let is_other = |it: &Principal, worker: Installed| {
            let is_counted = it.worker_secret.is_some() || it.revoked.is_none();
            it.worker == Some(worker.id) && it.worker_secret != Some(worker.secret) && is_counted
        };
        if worker.is_some_and(|worker| self.principals.values().any(|it| is_other(it, worker))) {
            return Err(Denied::OtherInstallation);
        }
        let named = live.find(|principal| principal.name == *name);
        match named {
            Some(named) if before.is_none_or(|before| before.id != named.id) => Err(Denied::NameTaken(name.clone())),
            _ => Ok(before.map(|before| before.id)),
        }
    }

    /// A principal that may act.
    ///
    /// # Errors
    /// It is not known, or was revoked.
    pub fn live(&self, id: PrincipalId) -> Result<&Principal, Denied> {
        let principal = self.principals.get(&id).ok_or(Denied::Unknown)?;
        if principal.revoked.is_some() { Err(Denied::Revoked(principal.name.clone())) } else { Ok(principal) }
    }

    /// Notes that a principal has a certificate until then.
    ///
    /// # Errors
    /// It is not known, or was revoked.
    pub fn renew(&mut self, id: PrincipalId, ends: Millis) -> Result<Principal, Denied> {
        self.live(id)?;
        let principal = self.principals.get_mut(&id).ok_or(Denied::Unknown)?;
        principal.ends = principal.ends.max(ends);
        Ok(principal.clone())
    }

    /// All that ever joined and were not forgotten, by name.
    pub fn principals(&self) -> Vec<Principal> {
        let mut all: Vec<Principal> = self.principals.values().cloned().collect();
        all.sort_by(|a, b| (&a.name, a.joined).cmp(&(&b.name, b.joined)));
        all
    }

    /// Ends a principal and its certificates, and the token that it came with, by which it could come back.
    ///
    /// # Errors
    /// [`Denied::NoPrincipal`]; [`Denied::Revoked`] where it was before.
    pub fn revoke(&mut self, now: Millis, name: &PrincipalName) -> Result<Principal, Denied> {
        let mut named: Vec<&mut Principal> = self.principals.values_mut().filter(|it| it.name == *name).collect();
        if named.is_empty() {
            return Err(Denied::NoPrincipal(name.clone()));
        }
        let live = named.iter_mut().find(|it| it.revoked.is_none()).ok_or_else(|| Denied::Revoked(name.clone()))?;
        live.revoked = Some(now);
        let gone = live.clone();
        self.tokens.retain(|token| token.joined.iter().all(|(_, id)| *id != gone.id));
        Ok(gone)
    }

    /// Lets go of tokens that nobody can use any more. One that is used up stays for its time, for calls that are made again.
    fn forget_ended(&mut self, now: Millis) {
        self.tokens.retain(|token| now < token.ends);
    }

    /// Makes room: lets go of the principal that was revoked the longest ago, whose certificates are refused as unknown then.
    fn forget_revoked(&mut self) -> bool {
        let revoked = self.principals.values().filter(|it| it.revoked.is_some());
        let Some(oldest) = revoked.min_by_key(|it| it.revoked).map(|it| it.id) else { return false };
        self.principals.remove(&oldest).is_some()
    }
}

#[cfg(test)]
mod tests;
