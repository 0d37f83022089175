//! What the port offers to whoever shakes hands, as a program sees it that is not ours.

use super::{closed, hostile::old_hello};
use crate::harness::soon;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use vertigo_testkit::skipped;

/// TLS's alerts that there is nothing that both speak, and that a version is not spoken.
const NOTHING_IN_COMMON: [u8; 2] = [40, 70];

#[tokio::test]
async fn a_hello_of_an_older_version_hears_an_alert_and_nothing_else() {
    let coordinator = closed().await;
    for version in [0x0300, 0x0301, 0x0302, 0x0303] {
        let mut stream = TcpStream::connect(coordinator.url.strip_prefix("https://").unwrap()).await.unwrap();
        stream.write_all(&old_hello(version)).await.unwrap();
        let mut answer = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut answer)).await;
        let [21, 3, 3, 0, 2, 2, why] = answer[..] else { panic!("{version:#x}: {answer:?}") };
        assert!(NOTHING_IN_COMMON.contains(&why), "{version:#x}: {why}");
    }
}

/// What OpenSSL's client says when it connects with these arguments; `None` where there is no OpenSSL.
async fn openssl(address: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", address, "-brief"]).args(arguments).stdin(Stdio::null());
    let output = match command.output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        output => output.unwrap(),
    };
    Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}

#[tokio::test]
async fn openssl_meets_tls_1_3_with_its_three_ciphers_and_nothing_else() {
    let coordinator = closed().await;
    let address = coordinator.url.strip_prefix("https://").unwrap();
    let Some(usual) = openssl(address, &["-alpn", "h2"]).await else {
        return skipped("there is no openssl to connect with");
    };
    assert!(usual.contains("Protocol version: TLSv1.3"), "{usual}");
    for old in ["-tls1", "-tls1_1", "-tls1_2"] {
        let said = openssl(address, &[old, "-cipher", "ALL:@SECLEVEL=0"]).await.unwrap();
        assert!(!said.contains("Protocol version"), "{old}: {said}");
    }
    let known = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    for cipher in known.into_iter().chain(["TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256"]) {
        let said = openssl(address, &["-tls1_3", "-ciphersuites", cipher]).await.unwrap();
        assert_eq!(said.contains(&format!("Ciphersuite: {cipher}")), known.contains(&cipher), "{cipher}: {said}");
    }
    // Neither of a protocol that is not spoken, nor with what was resumed or compressed.
    let other = openssl(address, &["-alpn", "ftp"]).await.unwrap();
    assert!(!other.contains("Protocol version"), "{other}");
}
