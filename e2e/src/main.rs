//! `corallite-e2e`: the cluster of the tests, by hand.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand};
use corallite_e2e::{Error, Image, NODES_MAX, ensure_components, keep, missing_for_nodes};

/// A real Kubernetes on this machine, for tests and for trying things out.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build the components, unless the cache has them, and print where they are.
    Build,
    /// Run a cluster until Ctrl-C, and remove it then.
    Up {
        /// Nodes that run pods.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=i64::from(NODES_MAX)))]
        nodes: u8,
        /// Where the administrator's credentials are written.
        #[arg(long, default_value = "kubeconfig")]
        kubeconfig: PathBuf,
    },
    /// Say what this machine lacks for nodes.
    Doctor,
    /// Make the archive of an image that runs one program.
    Image {
        /// Name and tag, such as corallite/cell:dev.
        reference: String,
        /// The program; its libraries are added.
        program: PathBuf,
        /// Where the archive is written, in the format of docker save.
        archive: PathBuf,
    },
    /// Run kubectl; it finds the cluster by KUBECONFIG or --kubeconfig.
    #[command(disable_help_flag = true)]
    Kubectl {
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run a cluster for the process at the other end of standard input.
    #[command(hide = true)]
    Keep,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("corallite-e2e: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<(), Error> {
    match action {
        Action::Build => println!("{}", ensure_components()?.display()),
        Action::Up { nodes, kubeconfig } => block_on(keep(false, nodes, Some(&kubeconfig)))?,
        Action::Keep => block_on(keep(true, 0, None))?,
        Action::Doctor => doctor(),
        Action::Image { reference, program, archive } => image(&reference, &program, &archive)?,
        Action::Kubectl { arguments } => {
            let error = Command::new(ensure_components()?).arg("kubectl").args(arguments).exec();
            return Err(Error::Io { what: "running kubectl".into(), source: error });
        }
    }
    Ok(())
}

/// One thread does everything: the processes it starts end with it.
fn block_on(work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::Io { what: "starting".into(), source })?;
    let done = runtime.block_on(work);
    // Standard input is read by a thread that may never come back.
    runtime.shutdown_background();
    done
}

fn doctor() {
    let missing = missing_for_nodes();
    if missing.is_empty() {
        println!("nodes can run here");
    }
    missing.iter().for_each(|reason| println!("no nodes: {reason}"));
}

fn image(reference: &str, program: &Path, archive: &Path) -> Result<(), Error> {
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let image = Image::of_program(reference, &format!("/{name}"), program)?;
    let copied = std::fs::copy(image.archive(), archive);
    copied.map(drop).map_err(|source| Error::Io { what: format!("writing {}", archive.display()), source })
}
