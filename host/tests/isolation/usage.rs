//! What this process holds of the machine.

use std::fs;

/// Threads, open files, mappings and resident memory of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub files: usize,
    pub mappings: usize,
    pub threads: usize,
    pub resident: usize,
}

impl Usage {
    pub fn now() -> Self {
        let entries = |folder: &str| fs::read_dir(folder).unwrap().count();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kilobytes: usize = kilobytes.trim().trim_end_matches(" kB").parse().unwrap();
        Self {
            files: entries("/proc/self/fd"),
            mappings: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
            threads: entries("/proc/self/task"),
            resident: kilobytes << 10,
        }
    }

    /// What is held now and was not held before, if it is more than the allocator and the scheduler of threads move by themselves.
    pub fn leaked_since(self, before: Self) -> Option<String> {
        let grown = |now: usize, before: usize, slack: usize| now > before + slack;
        let leaked = grown(self.files, before.files, 0)
            || grown(self.mappings, before.mappings, 40)
            || grown(self.threads, before.threads, 0)
            || grown(self.resident, before.resident, 24 << 20);
        leaked.then(|| format!("before {before:?}, after {self:?}"))
    }
}
