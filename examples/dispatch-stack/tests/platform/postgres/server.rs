//! A PostgreSQL server of a test's own, from the newest one that is installed: data in a temporary folder, `fsync` on, passwords
//! asked for. It refuses to run as root, so there it runs as Debian's user `postgres`. It ends with the thread that started it.

use std::fs::{File, read_dir, read_to_string};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use tokio_postgres::{Client, Config, NoTls};

/// Longest wait for a server to begin or end.
const LIMIT: Duration = Duration::from_secs(60);
const USER: &str = "dispatch";
/// Of all that a URL has a meaning for.
pub(crate) const PASSWORD: &str = "s3cret/@?#%&:";
/// [`PASSWORD`] as a URL has it.
const PASSWORD_IN_URL: &str = "s3cret%2F%40%3F%23%25%26%3A";

/// A running server, or one that was killed and can be started again.
pub(crate) struct PostgresServer {
    folder: tempfile::TempDir,
    port: u16,
    settings: Vec<String>,
    process: Option<Child>,
}

impl PostgresServer {
    /// Makes a cluster and starts it.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Makes a cluster and starts it with these settings, as `name=value`.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let mut server = Self::made(settings);
        server.start_again();
        server
    }

    /// Makes a cluster and does not start it.
    pub(crate) fn made(settings: &[&str]) -> Self {
        // Where TMPDIR leads, the server's user may have no way in.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        own(folder.path());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let server = Self { folder, port, settings, process: None };
        let password = server.file("password", PASSWORD);
        let made = as_server("initdb")
            .args(["--username", USER, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .arg("--pwfile")
            .arg(password)
            .arg(server.data())
            .stdout(Stdio::null())
            .status();
        assert!(made.expect("initdb runs").success(), "initdb failed");
        server
    }

    /// A file that the server can read and nobody else.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        own(&path);
        path
    }

    /// What it is started with from the next time on, besides.
    pub(crate) fn set(&mut self, settings: &[&str]) {
        self.settings.extend(settings.iter().map(|&setting| setting.to_owned()));
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the server has said so far.
    pub(crate) fn log(&self) -> String {
        read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Starts the server on the data that it had before.
    pub(crate) fn start_again(&mut self) {
        let begun = Instant::now();
        while !self.try_start() {
            // What is left of a killed one holds its memory for a moment.
            assert!(begun.elapsed() < LIMIT, "the server does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn try_start(&mut self) -> bool {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = as_server("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=on", "autovacuum=off"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let process = self.process.insert(process);
        let pid_file = self.folder.path().join("data/postmaster.pid");
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            // Its own file says when it takes connections.
            let state = read_to_string(&pid_file).unwrap_or_default();
            let ours = state.lines().next() == Some(&process.id().to_string());
            if ours && state.lines().any(|line| line.trim() == "ready") {
                return true;
            }
            if process.try_wait().unwrap().is_some() {
                self.process = None;
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// SIGKILL to the server and all of its processes, at whatever they are doing.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.process.take().unwrap().wait().unwrap();
    }

    /// Sends a signal to the server, then to all of its processes.
    pub(crate) fn signal(&self, signal: Signal) {
        let server = self.process.as_ref().unwrap().id();
        let all: Vec<_> = std::iter::once(server).chain(children_of(server)).collect();
        for pid in all {
            // One that has ended by itself needs no signal.
            let _ = kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal);
        }
    }

    /// Where the server is, with whatever database and parameters.
    pub(crate) fn url(&self, rest: &str) -> String {
        format!("postgres://{USER}:{PASSWORD_IN_URL}@127.0.0.1:{}/{rest}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A database that nobody else uses, and how to reach it. A schema of one database is as good, and made sooner.
    pub(crate) async fn new_database(&self) -> String {
        static MADE: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
        self.admin("public").await.batch_execute(&format!("CREATE SCHEMA {name}")).await.unwrap();
        self.url(&format!("postgres?sslmode=disable&options=-csearch_path%3D{name}"))
    }

    /// A connection of the test's own, to what such a URL means.
    pub(crate) async fn admin(&self, schema: &str) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname("postgres");
        let (client, connection) = config.options(format!("-csearch_path={schema}")).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        let Some(process) = &mut self.process else { return };
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
        // One that was stopped hears nothing else; then it ends in order and leaves no memory of the machine behind.
        let _ = kill(pid, Signal::SIGCONT);
        let _ = kill(pid, Signal::SIGQUIT);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) && matches!(process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The schema that a URL of [`PostgresServer::new_database`] means.
pub(crate) fn schema_of(url: &str) -> &str {
    url.rsplit_once("search_path%3D").unwrap().1
}

/// A program of the server, as the user who may run it, that ends when this thread does.
fn as_server(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if Uid::effective().is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.arg("--").arg(programs().join(program)).current_dir("/").env("LC_ALL", "C");
    command
}

/// Where the programs of the newest server are, which Debian keeps out of PATH.
fn programs() -> PathBuf {
    let versions = read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
    let newest = versions
        .map(|entry| entry.path())
        .filter(|path| path.join("bin/initdb").exists())
        .max_by_key(number)
        .expect("a PostgreSQL server is installed; hint: .ci/install-packages");
    newest.join("bin")
}

/// Gives a path to the user who runs the server.
fn own(path: &Path) {
    if Uid::effective().is_root() {
        let user = User::from_name("postgres").unwrap().expect("Debian's package makes the user postgres");
        chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
    }
}

/// Processes that this one has started and that still run.
fn children_of(parent: u32) -> Vec<u32> {
    let parent_of = |pid: u32| {
        let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let all = read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    all.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}
