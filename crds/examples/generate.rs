//! Writes the custom resource definitions to `crds/yaml`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    std::fs::create_dir_all(&folder)?;
    for (name, content) in corallite_crds::generate::files()? {
        std::fs::write(folder.join(name), content)?;
    }
    Ok(())
}
