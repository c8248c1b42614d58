//! `durawasm build`: compiles a guest crate to components, and checks them as a host would.

use std::path::{Path, PathBuf};

use clap::Args;
use durawasm_errors::{Code, CodedError, Context as _};
use durawasm_toolchain::{BuildRequest, Options, Stderr, Toolchain};
use serde::Serialize;

use crate::{
    commands::inspect::{self, Inspection},
    console::{Console, STRONG, styled},
    render,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder of the crate or workspace.
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,
    /// Only this package of a workspace. May be repeated.
    #[arg(long, short, value_name = "NAME")]
    package: Vec<String>,
    /// The folder that the components are copied to. Without it they stay where cargo puts them.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Built {
    file: PathBuf,
    #[serde(flatten)]
    component: Inspection,
}

pub(crate) async fn run(arguments: Arguments, console: &Console) -> Result<(), CodedError> {
    if !arguments.path.join("Cargo.toml").is_file() {
        let message = format!("there is no Cargo.toml in {}", arguments.path.display());
        return Err(
            CodedError::new(Code::BuildFailed, message).advise("Name the folder of the crate: durawasm build PATH")
        );
    }
    let mut request = BuildRequest::new(&arguments.path);
    for package in &arguments.package {
        request = request.package(package);
    }
    let compiled = tokio::task::spawn_blocking(move || compile(&request)).await;
    let files = match compiled {
        Ok(files) => files?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let mut folder = None;
    for file in files {
        // What a host would refuse must not lie among what it loads.
        let component = inspect::inspect(file.clone()).await?;
        let file = match &arguments.out {
            None => file,
            Some(out) => publish(&file, out)?,
        };
        folder = file.parent().map(|folder| folder.display().to_string());
        let built = Built { file, component };
        console.data(&built, || built.file.display().to_string());
        let (name, version) = (&built.component.name, &built.component.version);
        let offers =
            built.component.orchestrators.iter().chain(&built.component.activities).chain(&built.component.entities);
        let offers: Vec<&str> = offers.map(|offer| offer.name.as_str()).collect();
        console.note(format_args!("{} {version}: {}", styled(STRONG, name), offers.join(", ")));
    }
    let folder = render::quoted(&folder.unwrap_or_default());
    console.next_step("Run it", format_args!("durawasm host --components {folder}"));
    Ok(())
}

fn compile(request: &BuildRequest) -> Result<Vec<PathBuf>, CodedError> {
    let failed = |code: Code| {
        move |error: durawasm_toolchain::Error| {
            CodedError::new(code, format!("{} failed: {}", error.step(), error.problem())).advise(error.remedy())
        }
    };
    let options = Options::from_env(durawasm_toolchain::user_cache()).map_err(failed(Code::ToolchainFailed))?;
    let toolchain = Toolchain::ensure(&options, &mut Stderr).map_err(failed(Code::ToolchainFailed))?;
    toolchain.build(request, &mut Stderr).map_err(failed(Code::BuildFailed))
}

/// Copies under another name and renames, so that a host never loads half a file. The manifest goes along.
fn publish(file: &Path, out: &Path) -> Result<PathBuf, CodedError> {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let to = out.join(name);
    let copy = |from: &Path, to: &Path| {
        let partial = to.with_extension("partial");
        std::fs::copy(from, &partial).and_then(|_| std::fs::rename(&partial, to))
    };
    let manifest = file.with_extension("toml");
    std::fs::create_dir_all(out)
        // The manifest first: a component that is found without it would run without what it asks for.
        .and_then(|()| if manifest.is_file() { copy(&manifest, &to.with_extension("toml")) } else { Ok(()) })
        .and_then(|()| copy(file, &to))
        .coded(Code::BuildFailed, || format!("the component cannot be copied to {}", to.display()))?;
    Ok(to)
}
