//! The catalogue of codes.

use std::{fmt, str::FromStr};

use crate::Page;

/// What kind of trouble a code is, as far as a script needs to know. Decides the exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// What was asked for ran, and failed: an orchestration, a build.
    Failed,
    /// The command or its input is wrong.
    Usage,
    /// Something would be lost for good, and nobody has said yes.
    Confirmation,
    /// There is no such thing.
    NotFound,
    /// The other side could not be reached.
    Network,
    /// The caller may not do this.
    Auth,
    /// The answer did not come in the time that the caller gave.
    TimedOut,
    /// The scheduler or the host cannot do its work.
    Server,
}

impl Class {
    /// The exit code of a command that ends with an error of this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Failed => 1,
            Class::Usage => 2,
            Class::Confirmation => 3,
            Class::NotFound => 4,
            Class::Network => 5,
            Class::Auth => 6,
            Class::TimedOut => 7,
            Class::Server => 8,
        }
    }
}

/// A text that names no error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCode(String);

impl fmt::Display for UnknownCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no error code `{}`; codes look like DW0001", self.0)
    }
}

impl std::error::Error for UnknownCode {}

// One line a code keeps its name, number, class and page together, so that none can be forgotten.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $class:ident;)+) => {
        /// An error that people meet.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// All codes, in the order of their numbers.
            pub const ALL: &[Code] = &[$(Code::$name),+];

            /// The code as it is written: `DW0001`.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $number),+ }
            }

            /// The name of the code in Rust.
            pub fn name(self) -> &'static str {
                match self { $(Code::$name => stringify!($name)),+ }
            }

            /// What kind of trouble this is.
            pub fn class(self) -> Class {
                match self { $(Code::$name => Class::$class),+ }
            }

            /// The page that explains it.
            pub fn page(self) -> Page {
                match self {
                    $(Code::$name => Page::new(include_str!(concat!("../../docs/errors/", $number, ".md")))),+
                }
            }
        }
    };
}

codes! {
    /// The address to listen on cannot be used.
    CannotListen = "DW0001", Server;
    /// Another scheduler has the data folder open.
    StoreLocked = "DW0002", Server;
    /// What is in the store is not what was written there.
    StoreCorrupt = "DW0003", Server;
    /// A write to the store failed.
    StoreWriteFailed = "DW0004", Server;
    /// A newer durawasm made the store.
    StoreTooNew = "DW0005", Server;
    /// A file is not a component that durawasm can run.
    InvalidComponent = "DW0006", Failed;
    /// A component was built for another version of the WIT package.
    WrongWitVersion = "DW0007", Failed;
    /// Two components claim the same name and version.
    ComponentConflict = "DW0008", Server;
    /// There is no component to run.
    NoComponents = "DW0009", Server;
    /// The scheduler does not answer.
    SchedulerUnreachable = "DW0010", Network;
    /// The scheduler has no such task hub.
    UnknownHub = "DW0011", NotFound;
    /// The input is not JSON, or its file cannot be read.
    InvalidInput = "DW0012", Usage;
    /// A text cannot be an instance id.
    InvalidInstanceId = "DW0013", Usage;
    /// There is no instance with this id.
    InstanceNotFound = "DW0014", NotFound;
    /// The instance id is taken.
    InstanceExists = "DW0015", Usage;
    /// The orchestration ended with a failure.
    OrchestrationFailed = "DW0016", Failed;
    /// The instance did not get there in time.
    WaitTimedOut = "DW0017", TimedOut;
    /// A step of setting up the WebAssembly toolchain failed.
    ToolchainFailed = "DW0018", Failed;
    /// The guest does not compile.
    BuildFailed = "DW0019", Failed;
    /// A payload is over the limit.
    PayloadTooLarge = "DW0020", Usage;
    /// Parked: the code does not do what the history says.
    ParkedDivergence = "DW0021", Server;
    /// Parked: a step took too long.
    ParkedDeadline = "DW0022", Server;
    /// Parked: the orchestrator reached its limit of memory, stack or commands.
    ParkedLimit = "DW0023", Server;
    /// Parked: the guest broke a rule of the contract.
    ParkedContract = "DW0024", Server;
    /// Parked: no component with the instance's version is deployed.
    ParkedVersion = "DW0025", Server;
    /// The command line cannot be understood.
    Usage = "DW0026", Usage;
    /// The scheduler refuses the credentials.
    NotAllowed = "DW0027", Auth;
    /// The scheduler answered with an error of its own.
    SchedulerError = "DW0028", Server;
    /// The scheduler cannot do this.
    Unsupported = "DW0029", Server;
    /// The orchestration was terminated or canceled.
    OrchestrationTerminated = "DW0030", Failed;
    /// The data folder cannot be used.
    DataFolderUnusable = "DW0031", Server;
    /// The request was understood and refused.
    Refused = "DW0032", Usage;
    /// The command needs a yes.
    ConfirmationNeeded = "DW0033", Confirmation;
    /// The operating system refused what the program needs.
    SystemRefused = "DW0034", Server;
    /// The orchestrator does not answer a query of that name.
    UnknownQuery = "DW0035", NotFound;
    /// The orchestrator failed to answer a query.
    QueryFailed = "DW0036", Failed;
    /// No worker is connected that could answer a query.
    NoWorker = "DW0037", Server;
    /// A component does not do what a history says.
    ReplayDiverges = "DW0038", Failed;
    /// Work comes back again and again without an answer.
    WorkLost = "DW0039", Server;
    /// Parked: the host cannot run what the orchestrator asks for, or its history.
    ParkedUnsupported = "DW0040", Server;
    /// A component's manifest cannot be used.
    InvalidManifest = "DW0041", Failed;
    /// The operator's policy cannot be used.
    InvalidPolicy = "DW0042", Usage;
    /// A component asks for more than the operator's policy allows.
    BeyondPolicy = "DW0043", Failed;
    /// What a component was granted is not there: a secret, a folder.
    GrantUnavailable = "DW0044", Failed;
    /// No such version of a component is deployed.
    VersionNotFound = "DW0045", NotFound;
    /// A change of what is deployed was refused.
    DeploymentRefused = "DW0046", Usage;
    /// A file is no exported history.
    InvalidHistory = "DW0047", Usage;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Code {
    type Err = UnknownCode;

    /// Reads `DW0001`, also in lower case or as a bare number.
    fn from_str(text: &str) -> Result<Code, UnknownCode> {
        let digits = text.strip_prefix("DW").or_else(|| text.strip_prefix("dw")).unwrap_or(text);
        let number: u16 = digits.parse().map_err(|_| UnknownCode(text.to_owned()))?;
        let wanted = format!("DW{number:04}");
        Code::ALL.iter().copied().find(|code| code.as_str() == wanted).ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_numbered_without_gaps() {
        for (index, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.as_str(), format!("DW{:04}", index + 1));
        }
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for text in ["DW0014", "dw0014", "0014", "14"] {
            assert_eq!(text.parse(), Ok(Code::InstanceNotFound));
        }
        for text in ["", "DW", "DW9999", "teapot", "-1"] {
            assert!(text.parse::<Code>().is_err(), "{text}");
        }
    }
}
