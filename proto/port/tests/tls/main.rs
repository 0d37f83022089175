//! A port over TLS, from outside: who is let in, what hostile ends achieve, and how connections are ended.

mod closing;
mod handshake;
mod harness;
mod hostile;
