//! What a child of the room does: it takes programs, one after the other, and says a verdict on each.
//!
//! Promise: the walls are up before the first program is read, and what a program did is gone with its virtual machine. A limit is no
//! error that a program could catch: the child says the verdict from where it stands, takes nothing more, and waits for its end.

mod machine;
mod walls;
mod world;

#[cfg(target_os = "macos")]
mod sandbox;

pub use world::{World, WorldError};

use crate::run::Verdict;
use crate::wire::{self, Hello, Opening, Order, Reply};
use std::cell::RefCell;
use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// The subcommand under which binaries of Vertigo are such a child.
pub const COMMAND: &str = "luau-room";

/// A child's life, from the opening to the end of `input`, with the world that this crate has built in. To be called first in a process,
/// before anything opens a file or starts a thread: it closes every descriptor but the standard ones.
///
/// # Errors
///
/// The other end of a pipe is gone, or what comes is no message of ours. The process has nothing left to do then.
pub fn main(input: impl Read + 'static, output: impl Write + 'static) -> io::Result<()> {
    main_in(&World::built_in().map_err(io::Error::other)?, input, output)
}

/// [`main`] with another world.
///
/// # Errors
///
/// As [`main`].
pub fn main_in(world: &World, input: impl Read + 'static, output: impl Write + 'static) -> io::Result<()> {
    let (input, output) = (Rc::new(RefCell::new(input)), Rc::new(RefCell::new(output)));
    let Some(opening) = wire::receive::<Opening>(&mut *input.borrow_mut())? else { return Ok(()) };
    let walls = walls::raise(&opening.limits)?;
    wire::send(&mut *output.borrow_mut(), &Hello { walls })?;
    loop {
        let Some(order) = wire::receive::<Order>(&mut *input.borrow_mut())? else { return Ok(()) };
        walls::watch(opening.limits.wall);
        let last = {
            let (input, output) = (input.clone(), output.clone());
            move |verdict| end(&mut *input.borrow_mut(), &mut *output.borrow_mut(), verdict)
        };
        let verdict = machine::run(world, &order, &opening.limits, last);
        walls::unwatch();
        wire::send(&mut *output.borrow_mut(), &Reply { verdict, is_last: false })?;
    }
}

/// Says the last verdict and waits for the end of the input, or of the process: the room kills it. Nothing of the program runs on.
fn end(input: &mut impl Read, output: &mut impl Write, verdict: Verdict) -> Infallible {
    let is_said = wire::send(output, &Reply { verdict, is_last: true }).is_ok();
    let _ = io::copy(input, &mut io::sink());
    std::process::exit(i32::from(!is_said))
}
