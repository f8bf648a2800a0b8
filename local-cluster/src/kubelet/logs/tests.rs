//! Reading logs as `kubectl logs` asks for them.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateRunning, ContainerStatus, PodStatus};
use kube::api::ObjectMeta;

use super::*;

fn request() -> LogRequest {
    LogRequest {
        namespace: "ns".into(),
        pod: "p".into(),
        pod_uid: "uid".into(),
        container: "c".into(),
        follow: false,
        previous: false,
        tail_lines: None,
        since: None,
        timestamps: false,
        limit_bytes: None,
    }
}

fn line(second: u32, tag: char, text: &str) -> String {
    format!("2026-01-31T12:00:{second:02}.000000000Z stdout {tag} {text}\n")
}

struct Fixture {
    folder: tempfile::TempDir,
    logs: LogFolder,
}

fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let logs = LogFolder::new(folder.path().to_owned(), Cache::default());
    std::fs::create_dir_all(logs.folder("uid").join("c")).unwrap();
    Fixture { folder, logs }
}

impl Fixture {
    fn write(&self, run: u32, lines: &[String]) {
        std::fs::write(self.logs.file("uid", "c", run), lines.concat()).unwrap();
    }

    fn set_running(&self, running: bool, version: u32) {
        let state =
            ContainerState { running: running.then(ContainerStateRunning::default), ..ContainerState::default() };
        let status = ContainerStatus { name: "c".into(), state: Some(state), ..ContainerStatus::default() };
        self.logs.pods.note(Pod {
            metadata: ObjectMeta {
                namespace: Some("ns".into()),
                name: Some("p".into()),
                uid: Some("uid".into()),
                resource_version: Some(version.to_string()),
                ..ObjectMeta::default()
            },
            status: Some(PodStatus { container_statuses: Some(vec![status]), ..PodStatus::default() }),
            spec: None,
        });
    }

    async fn read(&self, request: LogRequest) -> Result<String, LogError> {
        let parts: Vec<_> = self.logs.open(request).await?.collect().await;
        let bytes: Vec<u8> = parts.into_iter().flat_map(|part| part.unwrap().to_vec()).collect();
        Ok(String::from_utf8(bytes).unwrap())
    }
}

#[tokio::test]
async fn the_latest_run_is_read_and_the_one_before_on_request() {
    let fixture = fixture();
    fixture.write(9, &[line(0, 'F', "old")]);
    fixture.write(10, &[line(1, 'F', "new"), line(2, 'P', "part "), line(3, 'F', "whole")]);
    assert_eq!(fixture.read(request()).await.unwrap(), "new\npart whole\n");
    let previous = LogRequest { previous: true, ..request() };
    assert_eq!(fixture.read(previous).await.unwrap(), "old\n");
    assert!(fixture.folder.path().exists());
}

#[tokio::test]
async fn lines_are_chosen_by_count_time_and_size() {
    let fixture = fixture();
    fixture.write(1, &[line(1, 'F', "one"), line(2, 'F', "two"), line(3, 'F', "three")]);
    let tail = LogRequest { tail_lines: Some(1), ..request() };
    assert_eq!(fixture.read(tail).await.unwrap(), "three\n");
    let since = LogRequest { since: Some("2026-01-31T12:00:02Z".parse().unwrap()), timestamps: true, ..request() };
    let expected = "2026-01-31T12:00:02.000000000Z two\n2026-01-31T12:00:03.000000000Z three\n";
    assert_eq!(fixture.read(since).await.unwrap(), expected);
    let short = LogRequest { limit_bytes: Some(5), ..request() };
    assert_eq!(fixture.read(short).await.unwrap(), "one\nt");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let fixture = fixture();
    let message = fixture.read(request()).await.unwrap_err().to_string();
    assert!(message.contains("is waiting to start"), "{message}");
    fixture.write(1, &[line(1, 'F', "one")]);
    let message = fixture.read(LogRequest { previous: true, ..request() }).await.unwrap_err().to_string();
    assert!(message.contains("previous terminated container"), "{message}");
}

#[tokio::test]
async fn a_followed_log_goes_on_until_the_container_ends() {
    let fixture = fixture();
    fixture.write(1, &[line(1, 'F', "one")]);
    fixture.set_running(true, 1);
    let mut stream = fixture.logs.open(LogRequest { follow: true, ..request() }).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), "one\n");
    fixture.write(1, &[line(1, 'F', "one"), line(2, 'F', "two")]);
    assert_eq!(stream.next().await.unwrap().unwrap(), "two\n");
    fixture.set_running(false, 2);
    assert!(stream.next().await.is_none());
}
