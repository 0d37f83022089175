//! A child of the room by itself, for this crate's tests and measurements: `vertigo-luau-room [WORLD]`, where WORLD is a folder of Luau
//! files that stands in the place of the world that is built in.

use std::error::Error;
use std::{env, fs, io};
use vertigo_luau::child::{self, World};

fn main() -> Result<(), Box<dyn Error>> {
    let (input, output) = (io::stdin(), io::stdout());
    let Some(folder) = env::args_os().nth(1) else { return Ok(child::main(input, output)?) };
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        sources.push((name, fs::read_to_string(&path)?));
    }
    let world = World::new(sources.iter().map(|(name, source)| (name.as_str(), source.as_str())))?;
    Ok(child::main_in(&world, input, output)?)
}
