//! OpenAI's own Python client, where it can be had.

use super::stand_in::Running;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::process::Command;
use vertigo_testkit::skipped;
use vertigo_testkit::waiting::soon;

#[tokio::test]
async fn openais_own_client_streams_calls_tools_and_gets_typed_errors() {
    let peer = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/peer");
    let installed = Command::new(peer.join("openai.sh")).stderr(Stdio::inherit()).output().await.unwrap();
    if !installed.status.success() {
        return skipped("the openai package cannot be installed from PyPI");
    }
    let python = String::from_utf8(installed.stdout).unwrap();
    let server = Running::new().await;
    let url = format!("http://{}/v1", server.address);
    let client = Command::new(python.trim()).arg(peer.join("openai_client.py")).arg(url).output();
    let output = soon("the client", client).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}
