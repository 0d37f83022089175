//! A certificate that the operator brought and somebody renews in its place.

use super::{HOUR, certificates, endpoint, somebody};
use crate::harness::{Coordinator, Heart, Worker, hello, soon, train};
use rustls::pki_types::{CertificateDer, ServerName};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use vertigo::principal::Role;
use vertigo::v1::{self, fleet_client::FleetClient};
use vertigo_coordinator::access::brought::{Brought, Files};
use vertigo_coordinator::serve::connections::Limits;
use vertigo_testkit::authority::{Authority, Leaf};

const CERTIFICATE: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";

/// In two files, which are looked at often.
pub(super) fn bring(folder: &Path, leaf: &Leaf) -> Brought {
    let files = Files { certificate: folder.join(CERTIFICATE), key: folder.join(KEY) };
    fs::write(&files.certificate, &leaf.chain_pem).unwrap();
    fs::write(&files.key, &leaf.key_pem).unwrap();
    Brought::read(files).unwrap().looked_at_every(Duration::from_millis(20))
}

/// What a handshake shows.
async fn shown(authority: &Authority, url: &str) -> CertificateDer<'static> {
    let stream = TcpStream::connect(url.strip_prefix("https://").unwrap()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(authority.client(None)));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn until_shown(authority: &Authority, url: &str, leaf: &Leaf) {
    soon("the new certificate", async {
        while shown(authority, url).await != leaf.certificate {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_is_renewed_in_its_place_is_shown_to_whoever_connects_and_no_session_ends() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [first, second, third] = ["first", "second", "third"].map(|name| authority.issue(name));
    let brought = bring(folder.path(), &first);
    let limits = Limits::of_descriptors(1024).unwrap();
    let coordinator = Coordinator::with_certificates(certificates(HOUR, Some(brought)), limits).await;
    coordinator.import().await;
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let greeting = hello(mac.worker.unwrap(), "mac", &[]);
    let mut worker = Worker::over(FleetClient::new(mac.access.channel()), greeting).await.unwrap();
    let _heart = Heart::of(&worker);
    assert_eq!(shown(&authority, &coordinator.url).await, first.certificate);

    // As certbot does it: the files are links, and each comes to point to a new file.
    for (name, pem) in [(CERTIFICATE, &second.chain_pem), (KEY, &second.key_pem)] {
        let (target, link) = (folder.path().join(format!("{name}.2")), folder.path().join(format!("{name}.link")));
        fs::write(&target, pem).unwrap();
        symlink(&target, &link).unwrap();
        fs::rename(&link, folder.path().join(name)).unwrap();
    }
    until_shown(&authority, &coordinator.url, &second).await;

    // What machines would not take is passed over, and what comes after it is taken.
    let foreign = Authority::new().issue("foreign");
    fs::write(folder.path().join(CERTIFICATE), &foreign.chain_pem).unwrap();
    fs::write(folder.path().join(KEY), &foreign.key_pem).unwrap();
    assert_eq!(shown(&authority, &coordinator.url).await, second.certificate);
    fs::write(folder.path().join(CERTIFICATE), &third.chain_pem).unwrap();
    assert_eq!(shown(&authority, &coordinator.url).await, second.certificate);
    fs::write(folder.path().join(KEY), &third.key_pem).unwrap();
    until_shown(&authority, &coordinator.url, &third).await;

    // Whoever joined before connects anew, and the session of the first certificate has gone on.
    let again = super::reached(&mac.identity);
    v1::access_client::AccessClient::new(again.channel()).who_am_i(v1::WhoAmIRequest {}).await.unwrap();
    let job = coordinator.queue(train("tutor")).await.unwrap();
    assert_eq!(soon("an assignment", worker.assignment()).await.job_id, job.id);
    assert_eq!(endpoint(&coordinator).to_string(), coordinator.url);
}
