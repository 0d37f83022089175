//! `vertigo revoke`: ends somebody's certificates.

use crate::cli::RevokeArgs;
use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::output::Output;
use crate::render::{access, json};
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(args: &RevokeArgs, coordinator: &Coordinator, output: Output) -> Result<()> {
    let request = v1::RevokePrincipalRequest { name: args.name.to_string() };
    let answer = coordinator.access().revoke_principal(traced(request)).await;
    let gone = coordinator.answer(answer, Subject::Nothing)?;
    output.show(|| json::principal(&gone), || access::render_revoked(&gone));
    Ok(())
}
