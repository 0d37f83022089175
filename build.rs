//! Compiles the protocol with protox, so that no `protoc` has to be installed.

fn main() {
    println!("cargo:rerun-if-changed=proto/vertigo/v1");
    #[cfg(feature = "rpc")]
    compile_protocol();
}

#[cfg(feature = "rpc")]
fn compile_protocol() {
    let names = ["access", "task", "jobs", "fleet", "artifacts", "storage"];
    let files = names.map(|name| format!("proto/vertigo/v1/{name}.proto"));
    let descriptors = protox::compile(files, ["proto"]).unwrap_or_else(|error| panic!("{error:?}"));
    tonic_prost_build::configure()
        // They carry secrets: `proto/lib.rs` shows the rest of them.
        .skip_debug(["vertigo.v1.Hello", "vertigo.v1.JoinRequest", "vertigo.v1.CreatedToken"])
        .compile_fds(descriptors)
        .expect("OUT_DIR is writable, and protox has checked the files");
}
