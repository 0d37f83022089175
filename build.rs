//! Compiles the protocol with protox, so that no `protoc` has to be installed.

fn main() {
    println!("cargo:rerun-if-changed=proto/vertigo/v1");
    #[cfg(feature = "rpc")]
    compile_protocol();
}

#[cfg(feature = "rpc")]
fn compile_protocol() {
    let files = ["task", "jobs", "fleet", "artifacts", "storage"].map(|name| format!("proto/vertigo/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"]).unwrap_or_else(|error| panic!("{error:?}"));
    tonic_prost_build::configure()
        // It carries a secret: `proto/lib.rs` shows the rest of it.
        .skip_debug(["vertigo.v1.Hello"])
        .compile_fds(descriptors)
        .expect("OUT_DIR is writable, and protox has checked the files");
}
