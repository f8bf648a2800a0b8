//! `chaos operator`: the operator's process. Everything it does stands in `chaos-operator`.

use chaos_operator::OperatorArgs;

use crate::exit::{Exit, Failure};

pub(super) async fn operator(args: OperatorArgs) -> Result<Exit, Failure> {
    let mut asked = crate::signals::listen().map_err(Failure::could_not_run)?;
    let shutdown = async move {
        // The listener lives as long as the process: an error here would mean that it is gone, which ends the operator too.
        let _ = asked.wait_for(Option::is_some).await;
    };
    chaos_operator::run(args, shutdown).await.map_err(Failure::could_not_run)?;
    Ok(Exit::OK)
}
