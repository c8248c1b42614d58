//! `[[capabilities.folders]]`: folders of the machine, read or read and written.
//!
//! Folders are opened once, when the component is loaded; guests reach what is below them by handle, so that neither `..` nor a
//! symbolic link leads out.

use wasmtime::component::Linker;
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::{FsPerms, WasiCtx};

use super::Effects;
use crate::deployment::{Access, Folder, Unavailable};

pub(super) fn link<T: Effects>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    // Without a folder there is nothing to begin with, so that linking it gives nothing away.
    preopens::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)?;
    types::add_to_linker::<T, WasiFilesystem>(linker, T::filesystem)
}

/// The opened folders of a component.
#[derive(Default)]
pub(super) struct Folders {
    opened: WasiFilesystemCtx,
}

impl Folders {
    pub(super) fn open(folders: &[Folder]) -> Result<Self, Unavailable> {
        let mut builder = WasiCtx::builder();
        for (index, folder) in folders.iter().enumerate() {
            let unavailable = |problem: String| {
                let remedy = "Create the folder, or name another one";
                let problem = format!("the folder {} {problem}", folder.host);
                Unavailable::new(format!("capabilities.folders[{index}].host"), problem, remedy)
            };
            // The policy was asked about the path as it is written. A link would lead elsewhere.
            let real = std::fs::canonicalize(folder.host.as_path())
                .map_err(|error| unavailable(format!("cannot be opened: {error}")))?;
            if real != folder.host.as_path() {
                return Err(unavailable(format!(
                    "is, or lies below, a symbolic link: write {} instead",
                    real.display()
                )));
            }
            let permissions = match folder.access {
                Access::Read => FsPerms::ReadOnly,
                Access::ReadWrite => FsPerms::ReadWrite,
            };
            builder
                .preopened_dir(&real, folder.guest.as_str(), permissions)
                .map_err(|error| unavailable(format!("cannot be opened: {error:#}")))?;
        }
        Ok(Self { opened: builder.build().filesystem().clone() })
    }

    pub(super) fn give(&self, context: &mut WasiCtx) {
        *context.filesystem() = self.opened.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(host: &std::path::Path) -> Folder {
        Folder {
            host: host.to_owned().try_into().unwrap(),
            guest: "/data".to_owned().try_into().unwrap(),
            access: Access::Read,
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_by_its_key() {
        let there = tempfile::tempdir().unwrap();
        assert!(Folders::open(&[folder(&there.path().canonicalize().unwrap())]).is_ok());
        let error = Folders::open(&[folder(&there.path().join("no"))]).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`capabilities.folders[0].host`"), "{error}");
    }

    #[test]
    fn a_symbolic_link_is_refused_because_the_policy_did_not_see_where_it_leads() {
        let there = tempfile::tempdir().unwrap();
        let link = there.path().canonicalize().unwrap().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        for path in [link.clone(), link.join("etc")] {
            let error = Folders::open(&[folder(&path)]).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("symbolic link"), "{error}");
        }
    }
}
