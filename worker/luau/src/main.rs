//! A child of the room by itself, for this crate's tests and measurements: `vertigo-luau-room [WORLD]`, where WORLD is a folder
//! of Luau files that stands in the place of the world that is built in.

use std::error::Error;
use std::path::Path;
use std::{env, fs, io};
use vertigo_luau::child::{self, World};

fn main() -> Result<(), Box<dyn Error>> {
    let (input, output) = (io::stdin(), io::stdout());
    let Some(folder) = env::args_os().nth(1) else { return Ok(child::main(input, output)?) };
    let mut sources = Vec::new();
    read(Path::new(&folder), "", &mut sources)?;
    let world = World::new(sources.iter().map(|(name, source)| (name.as_str(), source.as_str())))?;
    Ok(child::main_in(&world, input, output)?)
}

/// The Luau files of a folder, by their paths in it without the ending.
fn read(folder: &Path, above: &str, sources: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = format!("{above}{}", path.file_stem().unwrap_or_default().display());
        if path.is_dir() {
            read(&path, &format!("{name}/"), sources)?;
        } else if path.extension().is_some_and(|extension| extension == "luau") {
            sources.push((name, fs::read_to_string(&path)?));
        }
    }
    Ok(())
}
