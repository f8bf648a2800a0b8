//! Harness of the end-to-end suites: starts the real program in a home of its own, waits on conditions, and counts what is
//! left. It knows the program only by its command line.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test fails by panicking, and knows the names of its files"
)]

pub mod kills;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// Time between two looks at a condition.
const LOOK: Duration = Duration::from_millis(20);

/// The program with a home of its own: its own copy on disk (so that its processes can be told from those of other tests),
/// its own temporary folder, and no cluster but the ones it starts.
pub struct Chaos {
    home: tempfile::TempDir,
    program: PathBuf,
}

/// A program that was started and is not waited for.
pub struct Running {
    child: Child,
    /// Where its output goes.
    log: PathBuf,
}

/// A program that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ended {
    /// What it wrote to stdout for machines, and nothing else.
    pub fn document(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

impl Chaos {
    /// A home for this program.
    pub fn new(program: &str) -> Self {
        let home = tempfile::tempdir_in(scratch()).expect("a temporary folder");
        let own = home.path().join("chaos");
        // A hard link has a path of its own in /proc/PID/exe; a copy does where links cannot be made.
        if std::fs::hard_link(program, &own).is_err() {
            std::fs::copy(program, &own).expect("a copy of the program");
        }
        for folder in ["run", "tmp", "out"] {
            std::fs::create_dir(home.path().join(folder)).expect("a folder");
        }
        Self { home, program: own }
    }

    /// A folder that belongs to this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program with these arguments, in its own home.
    pub fn command<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home.path()).env("TMPDIR", self.path("tmp"));
        command.env("XDG_RUNTIME_DIR", self.path("run")).env("CHAOS_OUT", self.path("out"));
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Ended {
        ended(self.command(args).output().expect("the program starts"))
    }

    /// Runs it to its end, and to the end of its output: a child that keeps a pipe of ours open counts as its own.
    ///
    /// # Panics
    /// It still runs, or its output is still open, after `within`.
    pub fn run_within<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I, within: Duration) -> Ended {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().expect("the program starts");
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(child.wait_with_output()));
        let output = receive.recv_timeout(within).expect("it ends, and lets go of its output, in time");
        ended(output.expect("it can be waited for"))
    }

    /// Starts it; its output goes to a file.
    pub fn start<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(&self, args: I) -> Running {
        self.spawn(self.command(args))
    }

    /// Starts it through a shell, for which it is `"$0" "$@"`; its output goes to a file.
    pub fn start_in_shell<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        script: &str,
        args: I,
    ) -> Running {
        let program = self.command(args);
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(script).arg(program.get_program()).args(program.get_args());
        shell.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(self.home.path()).stdin(Stdio::null());
        self.spawn(shell)
    }

    fn spawn(&self, mut command: Command) -> Running {
        let log = self.path("log.txt");
        let file = std::fs::File::create(&log).expect("a log file");
        let errors = file.try_clone().expect("a second handle");
        let child = command.stdout(file).stderr(errors).spawn().expect("the program starts");
        Running { child, log }
    }

    /// Processes of this program, whatever part they play.
    pub fn processes(&self) -> BTreeSet<u32> {
        let entries = std::fs::read_dir("/proc").expect("this suite needs /proc").filter_map(Result::ok);
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid: &u32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == self.program))
            .collect()
    }

    /// Everything that a run may not leave: processes, and folders outside the output folder.
    pub fn leftovers(&self) -> Vec<String> {
        let processes = self.processes().into_iter().map(|pid| format!("process {pid}: {}", command_line(pid)));
        let folders = ["run", "tmp"].into_iter().flat_map(|name| entries(&self.path(name)));
        processes.chain(folders.map(|path| format!("path {}", path.display()))).collect()
    }

    /// Waits until nothing is left.
    ///
    /// # Panics
    /// Something is left after `within`.
    pub fn expect_nothing_left(&self, within: Duration) {
        let gone = wait(within, || self.leftovers().is_empty());
        assert!(gone, "left after {within:?}: {:#?}", self.leftovers());
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        // A test that failed must not leave a cluster behind for the next one.
        for pid in self.processes() {
            let _ = nix::sys::signal::kill(pid_of(pid), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

impl Running {
    /// What it has written so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its output holds `text`.
    ///
    /// # Panics
    /// It ended, or the time was up, before.
    pub fn expect_output(&mut self, text: &str, within: Duration) {
        let found =
            wait(within, || self.output().contains(text) || self.child.try_wait().is_ok_and(|end| end.is_some()));
        assert!(found && self.output().contains(text), "no {text:?} within {within:?}:\n{}", self.output());
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(pid_of(self.child.id()), signal).expect("it runs");
    }

    /// Its exit code if it has ended (`None` within if a signal ended it).
    pub fn end(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("it can be waited for").map(|status| status.code())
    }

    /// Waits for its end; gives its exit code, `None` if a signal ended it.
    ///
    /// # Panics
    /// It still runs after `within`.
    pub fn expect_end(&mut self, within: Duration) -> Option<i32> {
        let mut status = None;
        let ended = wait(within, || {
            status = self.child.try_wait().expect("it can be waited for");
            status.is_some()
        });
        assert!(ended, "still running after {within:?}:\n{}", self.output());
        status.and_then(|status| status.code())
    }
}

/// Looks until the condition holds; tells whether it did in time.
pub fn wait(within: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + within;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

fn ended(output: Output) -> Ended {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|entry| entry.path()).collect()
}

fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn pid_of(pid: u32) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a process id"))
}

/// On the file system of the build, so that hard links work and sockets' paths stay short.
fn scratch() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/e2e");
    std::fs::create_dir_all(&folder).expect("a scratch folder");
    folder.canonicalize().expect("a real path")
}

/// A file of JSON.
pub fn json(path: &str) -> anyhow::Result<serde_json::Value> {
    let bytes = std::fs::read(path).with_context(|| format!("failed to read {path}"))?;
    serde_json::from_slice(&bytes).with_context(|| format!("failed to parse {path}"))
}
