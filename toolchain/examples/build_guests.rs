//! Compiles the guests of a folder and prints the paths of the components:
//! `cargo run -p durawasm-toolchain --example build_guests -- FOLDER [TARGET-FOLDER [CACHE]]`.

use std::process::ExitCode;

use durawasm_toolchain::{BuildRequest, Options, Result, Stderr, Toolchain, user_cache};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut request = BuildRequest::new(arguments.next().unwrap_or_else(|| ".".to_owned()));
    if let Some(folder) = arguments.next() {
        request = request.target_dir(folder);
    }
    let options = Options::from_env(arguments.next().map_or_else(user_cache, Into::into))?;
    let toolchain = Toolchain::ensure(&options, &mut Stderr)?;
    for component in toolchain.build(&request, &mut Stderr)? {
        println!("{}", component.display());
    }
    Ok(())
}
