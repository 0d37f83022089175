//! `vertigo principals`: everybody who has joined.

use crate::coordinator::Coordinator;
use crate::error::{Result, Subject};
use crate::render::output::Output;
use crate::render::{access, json};
use vertigo::id::Millis;
use vertigo::v1;
use vertigo_client::traced;

pub(crate) async fn run(coordinator: &Coordinator, output: Output) -> Result<()> {
    let answer = coordinator.access().list_principals(traced(v1::ListPrincipalsRequest {})).await;
    let all = coordinator.answer(answer, Subject::Nothing)?.principals;
    let shown = || all.iter().map(json::principal).collect::<Vec<_>>().into();
    output.show(shown, || access::render_principals(&all, Millis::now().0));
    Ok(())
}
