//! `chaos operator` and `chaos prober`: the two processes of an installation. Everything they do stands in `chaos-operator`.

use std::future::Future;

use chaos_operator::{OperatorArgs, ProberArgs};

use crate::exit::{Exit, Failure};

pub(super) async fn operator(args: OperatorArgs) -> Result<Exit, Failure> {
    chaos_operator::run(args, shutdown()?).await.map_err(Failure::could_not_run)?;
    Ok(Exit::OK)
}

pub(super) async fn prober(args: ProberArgs) -> Result<Exit, Failure> {
    chaos_operator::prober::run(args, shutdown()?).await.map_err(Failure::could_not_run)?;
    Ok(Exit::OK)
}

fn shutdown() -> Result<impl Future<Output = ()> + Send, Failure> {
    let mut asked = crate::signals::listen().map_err(Failure::could_not_run)?;
    Ok(async move {
        // The listener lives as long as the process: an error here would mean that it is gone, which ends the process too.
        let _ = asked.wait_for(Option::is_some).await;
    })
}
