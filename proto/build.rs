//! Compiles the .proto files with protox, so that no protoc is needed.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = [
        "corallite/v1/actors.proto",
        "corallite/v1/control.proto",
        "corallite/v1/feed.proto",
        "corallite/v1/views.proto",
        "corallite/store/v1/store.proto",
    ];
    println!("cargo:rerun-if-changed=corallite");
    let descriptors = protox::compile(files, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("corallite.bin"), prost_encode(&descriptors))?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

fn prost_encode(descriptors: &impl prost::Message) -> Vec<u8> {
    descriptors.encode_to_vec()
}
