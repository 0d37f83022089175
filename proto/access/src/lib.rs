//! Who may speak to a coordinator: its certificate authority, the tokens by which machines join, the identities that they get, and TLS 1.3
//! made of them.
//!
//! A coordinator has an [`Authority`](authority::Authority) of its own. Whoever is to speak to it gets a [`Token`](token::Token) on one line, pasted by a person; it names the
//! coordinator's addresses and the fingerprint of the [`Anchor`](anchor::Anchor) that its certificate leads to, and carries a secret. With these a machine
//! asks for a certificate, and keeps what it gets as an [`Identity`](identity::Identity), with which it makes each later connection and asks for the
//! next certificate before the present one ends.
//!
//! Promises: no secret and no key is printed by `Debug` or by an error. A certificate that is made here can be used for one thing only: for a
//! server's side, or for a client's. Nothing here speaks TLS below 1.3, or trusts what the operating system trusts.
//!
//! Absent: connections, the protocol, and what a principal may do (`coordinator/src/access`).

pub mod anchor;
pub mod authority;
pub mod contexts;
pub mod identity;
pub mod leaf;
pub mod life;
pub mod tls;
pub mod token;
