//! How runs end on this machine for reasons that are the machine's or its people's, and what is remembered of that.
//!
//! An attempt whose child ended without a word is judged by [`outcome`](crate::outcome). What is here is what that judgement needs besides
//! the child itself: what the kernel says of memory ([`oom`]), how the machine started and how it came to that ([`boot`]), and how often a
//! job met the same end here before ([`remembered`]), from which it follows how the next attempt begins and when.
//!
//! Promise: everything that decides or reads a text is pure and compiled on every platform; only `read`, `panics` and `open` touch the
//! machine.

pub mod boot;
pub mod oom;
pub mod remembered;
