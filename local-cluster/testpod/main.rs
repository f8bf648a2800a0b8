//! What runs in the pods of this crate's tests, and the process that owns a cluster and is killed. Not shipped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use local_cluster::{Cluster, ClusterConfig, Image};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let role = arguments.next().unwrap_or_default();
    if role == "__supervise" {
        return local_cluster::supervisor::run();
    }
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    let result = runtime.block_on(async {
        match role.as_str() {
            "serve" => serve().await,
            "exit" => {
                let code = arguments.next().and_then(|code| code.parse::<u8>().ok());
                return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
            }
            "append" => append(&arguments.collect::<Vec<_>>()),
            "stray" => stray().await,
            "sleep" => {
                std::future::pending::<()>().await;
                Ok(())
            }
            "own" => own(arguments.next().unwrap_or_default().into()).await,
            other => Err(std::io::Error::other(format!("no such role: {other}"))),
        }
        .map(|()| ExitCode::SUCCESS)
    });
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::FAILURE
    })
}

fn complain(error: &std::io::Error) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{error}");
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A small HTTP server: `/` names the pod, `/env/NAME` shows a variable, `/ready` fails while the file `unready` exists,
/// `/crash` ends the process. With `IGNORE_TERM` it does not end on SIGTERM.
async fn serve() -> std::io::Result<()> {
    let address = setting("POD_IP").unwrap_or_else(|| "127.0.0.1".to_owned());
    let port: u16 = setting("PORT").and_then(|port| port.parse().ok()).unwrap_or(8080);
    let listener = TcpListener::bind((address.as_str(), port)).await?;
    say(&format!("serving on {address}:{port}"));
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                tokio::spawn(answer(stream));
            }
            _ = terminate.recv() => {
                say("asked to terminate");
                if setting("IGNORE_TERM").is_none() {
                    return Ok(());
                }
            }
        }
    }
}

async fn answer(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    let mut request = vec![0_u8; 4096];
    let count = stream.read(&mut request).await?;
    let text = String::from_utf8_lossy(&request[..count]).into_owned();
    let path = text.split_whitespace().nth(1).unwrap_or("/");
    let (status, body) = match path {
        "/ready" if PathBuf::from("unready").exists() => ("503 Service Unavailable", String::new()),
        "/unready" => {
            (if std::fs::write("unready", "").is_ok() { "200 OK" } else { "500 Internal Server Error" }, String::new())
        }
        "/crash" => return crash(),
        _ => match path.strip_prefix("/env/") {
            Some(name) => ("200 OK", setting(name).unwrap_or_default()),
            None => ("200 OK", setting("HOSTNAME").unwrap_or_default()),
        },
    };
    let response = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(response.as_bytes()).await
}

/// Ends as a process with a bug does: by a signal.
fn crash() -> std::io::Result<()> {
    std::process::abort()
}

fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// `append FILE TEXT`
fn append(arguments: &[String]) -> std::io::Result<()> {
    use std::io::Write;
    let [file, text] = arguments else { return Err(std::io::Error::other("append FILE TEXT")) };
    writeln!(std::fs::OpenOptions::new().create(true).append(true).open(file)?, "{text}")
}

/// Leaves its process group, as daemons do, and goes on in a child.
async fn stray() -> std::io::Result<()> {
    let program = std::env::current_exe()?;
    let mut command = tokio::process::Command::new(program);
    command.arg("sleep").process_group(0);
    let mut child = command.spawn()?;
    child.wait().await.map(drop)
}

/// Owns a cluster in `dir` until it is killed. Says where when it is up.
async fn own(dir: PathBuf) -> std::io::Result<()> {
    let program = std::env::current_exe()?.display().to_string();
    let mut config = ClusterConfig::new(dir);
    config.images = vec![Image { name: "test/pod:dev".to_owned(), argv: vec![program.clone()] }];
    config.supervisor = vec![program.into(), "__supervise".into()];
    let cluster = Cluster::start(config).await.map_err(std::io::Error::other)?;
    let labels = BTreeMap::from([("app", "owned")]);
    let pod = |role: &str| {
        serde_json::json!({
            "metadata": {"labels": labels},
            "spec": {"containers": [{
                "name": "main", "image": "test/pod:dev", "args": [role],
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            }]},
        })
    };
    let deployment = serde_json::json!({
        "metadata": {"name": "owned", "namespace": "default"},
        "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": pod("stray")},
    });
    let deployment = serde_json::from_value(deployment)?;
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> = kube::Api::namespaced(cluster.client(), "default");
    api.create(&kube::api::PostParams::default(), &deployment).await.map_err(std::io::Error::other)?;
    say(&format!("{}", cluster.address()));
    tokio::time::sleep(Duration::MAX).await;
    Ok(())
}
