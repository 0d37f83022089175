//! Writes the bindings that the build script of `mlx-sys` would write, on Linux, where that script does not work.
//!
//! `mlx-linux-bindgen <compat.h> <bindings.rs>`, built with `MLX_SYS` set to the source of `mlx-sys`: the headers and
//! the options are its own, and only what half-precision types need on Linux is added.

use std::error::Error;
use std::path::Path;

mod mlx_sys {
    #![allow(dead_code)]
    include!(concat!(env!("MLX_SYS"), "/src/bindgen_config.rs"));
}

/// What bindgen makes of Arm's `__fp16`, and `mlx-rs` counts on: a type of its own around the bits.
const FLOAT16: &str =
    "#[repr(transparent)] #[derive(Debug, Copy, Clone, Default)] pub struct float16_t(pub u16);";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [compat, output] = arguments.as_slice() else {
        return Err("usage: mlx-linux-bindgen <compat.h> <bindings.rs>".into());
    };
    let root = Path::new(env!("MLX_SYS")).join("src/mlx-c");
    let headers = mlx_sys::discover_headers(&root)?;
    let mut builder = mlx_sys::builder(&root, &headers);
    if !cfg!(target_arch = "aarch64") {
        builder = builder
            .clang_args(["-include", compat])
            .blocklist_type("float16_t")
            .raw_line(FLOAT16);
    }
    builder.generate()?.write_to_file(output)?;
    Ok(())
}
