//! A program that answers by exit code and output. Arguments only, never a shell; nothing that it started outlives its look.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use serde_json_path::JsonPath;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};

use super::look::NoAnswer;

/// Output that is read of each stream, in bytes.
const LARGEST: u64 = 1 << 20;
/// Of the error output, what is told with a failure, in characters.
const LONGEST_ERROR: usize = 500;

/// A program to run.
#[derive(Debug, Clone)]
pub struct CommandLook {
    /// The program.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// It is killed after this.
    pub timeout: Duration,
    /// What of a JSON output is judged, if not all of it.
    pub json: Option<JsonField>,
}

/// One value of a JSON output.
#[derive(Debug, Clone)]
pub struct JsonField {
    /// Where it stands.
    pub path: JsonPath,
    /// The exit code with which the output counts; with another one it is told as it is.
    pub exit_code: i32,
}

/// Process groups of looks under way. What leaves without ending its looks has to end them: a group of its own hears no Ctrl-C.
struct Groups(Mutex<BTreeSet<i32>>);

static GROUPS: Groups = Groups(Mutex::new(BTreeSet::new()));

/// Kills every program that a probe has started, and what those started: for a process that leaves at once.
pub fn kill_commands() {
    GROUPS.kill();
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A group under way. Its own carries the number of the program.
    fn of(&self, child: &Child) -> Group<'_> {
        let leader = child.id().and_then(|id| i32::try_from(id).ok());
        self.lock().extend(leader);
        Group { leader, groups: self }
    }

    fn kill(&self) {
        self.lock().iter().for_each(|leader| kill_group(*leader));
    }
}

fn kill_group(leader: i32) {
    // That no process of the group is left is the normal case.
    let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
}

/// Kills a process group when it goes out of scope, however a look ends.
struct Group<'g> {
    leader: Option<i32>,
    groups: &'g Groups,
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            kill_group(leader);
            self.groups.lock().remove(&leader);
        }
    }
}

impl CommandLook {
    /// `{exitCode, output}`, with `error` where something was written there; output is JSON where it is, text otherwise.
    pub(super) async fn value(&self) -> Result<Value, NoAnswer> {
        self.run(&GROUPS).await
    }

    async fn run(&self, groups: &Groups) -> Result<Value, NoAnswer> {
        let mut command = Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        let child = command.spawn().map_err(|error| {
            let reason = if error.kind() == std::io::ErrorKind::NotFound { "notFound" } else { "failed" };
            NoAnswer::new(reason, format!("failed to start {:?}: {error}", self.program))
        })?;
        let _group = groups.of(&child);
        match tokio::time::timeout(self.timeout, finish(child)).await {
            Ok(finished) => self.answer(finished?),
            Err(_) => {
                Err(NoAnswer::new("timeout", format!("no end after {} ms; it was killed", self.timeout.as_millis())))
            }
        }
    }
}

/// How a program ended.
struct Finished {
    code: i32,
    output: String,
    error: String,
}

impl CommandLook {
    /// The end of a program as an answer, with the one value that is asked for in the place of its output.
    fn answer(&self, finished: Finished) -> Result<Value, NoAnswer> {
        let Finished { code, output, error } = finished;
        let parsed = serde_json::from_str::<Value>(&output);
        let output = match &self.json {
            Some(field) if field.exit_code == code => {
                let parsed =
                    parsed.map_err(|error| NoAnswer::new("unparsable", format!("the output is no JSON: {error}")))?;
                field.of(&parsed)?
            }
            _ => parsed.unwrap_or_else(|_| Value::String(output.trim_end().to_owned())),
        };
        let mut value = json!({"exitCode": code, "output": output});
        if !error.is_empty() {
            value["error"] = Value::String(error);
        }
        Ok(value)
    }
}

impl JsonField {
    fn of(&self, output: &Value) -> Result<Value, NoAnswer> {
        let path = &self.path;
        match path.query(output).all().as_slice() {
            [] => Err(NoAnswer::new("noData", format!("{path} selects nothing in the output"))),
            [one] => Ok((*one).clone()),
            several => {
                let message = format!("{path} selects {} values; hint: write a path to one", several.len());
                Err(NoAnswer::new("severalValues", message))
            }
        }
    }
}

async fn finish(mut child: Child) -> Result<Finished, NoAnswer> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (status, output, error) = tokio::join!(child.wait(), read(stdout), read(stderr));
    let status = status.map_err(|error| NoAnswer::new("failed", error))?;
    let code = status.code().ok_or_else(|| NoAnswer::new("killed", signal(status)))?;
    // What stands there is told, and nothing is judged by it: in whatever encoding it is, it makes no answer unheard.
    let error = String::from_utf8_lossy(&error?).trim_end().chars().take(LONGEST_ERROR).collect();
    let output = String::from_utf8(output?).map_err(|error| NoAnswer::new("unparsable", error))?;
    Ok(Finished { code, output, error })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, NoAnswer> {
    let Some(mut stream) = stream else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    let read = (&mut stream).take(LARGEST + 1).read_to_end(&mut bytes).await;
    read.map_err(|error| NoAnswer::new("failed", error))?;
    if bytes.len() as u64 > LARGEST {
        // The rest is read and dropped: a program that waits for its reader would else never end.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        return Err(NoAnswer::new("tooLarge", format!("it wrote more than {LARGEST} bytes")));
    }
    Ok(bytes)
}

fn signal(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .signal()
        .map_or_else(|| "it ended without a code".to_owned(), |signal| format!("it was ended by signal {signal}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn look(program: &str, args: &[&str], timeout: Duration) -> CommandLook {
        CommandLook {
            program: program.into(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            timeout,
            json: None,
        }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn code_and_output_are_the_answer() {
        let json = look("sh", &["-c", "echo '{\"rides\": 3}'; echo oops >&2; exit 4"], LONG).value().await;
        assert_eq!(json.unwrap(), json!({"exitCode": 4, "output": {"rides": 3}, "error": "oops"}));
        let latin1 = look("sh", &["-c", "printf 'na\\357ve' >&2"], LONG).value().await;
        assert_eq!(latin1.unwrap(), json!({"exitCode": 0, "output": "", "error": "na\u{fffd}ve"}));
        let text = look("echo", &["two words", "$HOME"], LONG).value().await;
        assert_eq!(text.unwrap(), json!({"exitCode": 0, "output": "two words $HOME"}), "no shell reads arguments");
    }

    #[tokio::test]
    async fn one_value_of_a_json_output_is_judged() {
        let asked = async |script: &str, path: &str| {
            let json = Some(JsonField { path: path.parse().unwrap(), exit_code: 0 });
            let look = CommandLook { json, ..look("sh", &["-c", script], LONG) };
            look.value().await.map_err(|cause| cause.reason)
        };
        let rides = r#"echo '{"rides": {"lost": 0, "all": [1, 2]}}'"#;
        assert_eq!(asked(rides, "$.rides.lost").await, Ok(json!({"exitCode": 0, "output": 0})));
        assert_eq!(asked(rides, "$.rides.found").await, Err("noData"));
        assert_eq!(asked(rides, "$.rides.all[*]").await, Err("severalValues"));
        assert_eq!(asked("echo no", "$.rides").await, Err("unparsable"));
        assert_eq!(asked("echo '\"a\"'", "$").await, Ok(json!({"exitCode": 0, "output": "a"})));
        // With another code the output is what it is, and the code alone makes it an answer that is off.
        assert_eq!(asked("echo no; exit 2", "$.rides").await, Ok(json!({"exitCode": 2, "output": "no"})));
    }

    #[tokio::test]
    async fn no_answer_has_a_cause() {
        let reason =
            async |program, args: &[&str], timeout| look(program, args, timeout).value().await.unwrap_err().reason;
        assert_eq!(reason("/no/such/program", &[], LONG).await, "notFound");
        assert_eq!(reason("sh", &["-c", "kill -9 $$"], LONG).await, "killed");
        assert_eq!(reason("head", &["-c", "2000000", "/dev/zero"], LONG).await, "tooLarge");
        assert_eq!(reason("printf", &["\\377"], LONG).await, "unparsable");
        assert_eq!(reason("sleep", &["60"], Duration::from_millis(50)).await, "timeout");
    }

    /// Leaves a child behind that holds the output open; its number is in the file then.
    fn leaves_a_child(pid_file: &Path) -> String {
        format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; sleep 600", pid_file.display())
    }

    #[tokio::test]
    async fn a_timeout_ends_the_whole_group() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let look = look("sh", &["-c", &leaves_a_child(&pid_file)], Duration::from_secs(3));
        assert_eq!(look.value().await.unwrap_err().reason, "timeout");
        until_it_is_gone(&pid_file).await;
    }

    #[tokio::test]
    async fn a_process_that_leaves_at_once_leaves_no_program_behind() {
        let folder = tempfile::tempdir().unwrap();
        let pid_file = folder.path().join("pid");
        let look = look("sh", &["-c", &leaves_a_child(&pid_file)], LONG);
        // Of this look alone: the other tests of this process have programs of their own.
        let groups = Groups(Mutex::default());
        let leaving = async {
            while !pid_file.exists() {
                tokio::task::yield_now().await;
            }
            groups.kill();
            // Nothing of this process ends the look that was under way.
            until_it_is_gone(&pid_file).await;
        };
        let (ended, ()) = tokio::join!(look.run(&groups), leaving);
        assert_eq!(ended.unwrap_err().reason, "killed");
        assert!(groups.lock().is_empty(), "a look that has ended is forgotten");
    }

    /// Waits until the process of that number is gone: killed, and for a moment perhaps not yet reaped by init.
    async fn until_it_is_gone(pid_file: &Path) {
        let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
        while nix::sys::signal::kill(Pid::from_raw(pid), None).is_ok() {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z ") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}
