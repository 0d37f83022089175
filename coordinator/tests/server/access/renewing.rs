//! Certificates that end soon: both sides get new ones, and nobody's session notices.

use super::{certificates, somebody};
use crate::harness::{Coordinator, Heart, Worker, hello, soon, train};
use std::time::Duration;
use vertigo::id::Millis;
use vertigo::principal::Role;
use vertigo::v1::{self, fleet_client::FleetClient, jobs_client::JobsClient};
use vertigo_client::{Access, joining};
use vertigo_coordinator::serve::connections::Limits;

/// Of a certificate. It ends at a whole second, so one of a few seconds is cut by up to a fourth.
const LIFE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_session_outlives_several_certificates_of_both_sides_and_new_connections_are_made_all_the_time() {
    let limits = Limits::of_descriptors(1024).unwrap();
    let coordinator = Coordinator::with_certificates(certificates(LIFE, None), limits).await;
    coordinator.import().await;
    // The administrator's certificate is not renewed, and its connection lives on.
    let mut jobs = coordinator.jobs();
    jobs.list(v1::ListJobsRequest::default()).await.unwrap();
    let mac = somebody(&coordinator, Role::Worker, "mac").await;
    let (config, shown) = mac.identity.tls().unwrap();
    // A client with the config that its renewals go to, as the worker's daemon has.
    let access = Access::new(mac.identity.coordinator.clone(), Some(config)).unwrap();
    let greeting = hello(mac.worker.unwrap(), "mac", &[]);
    let mut worker = Worker::over(FleetClient::new(access.channel()), greeting).await.unwrap();
    let _heart = Heart::of(&worker);
    let mut identity = mac.identity.clone();
    let begun = Millis::now();
    let mut renewals = 0;
    while Millis::now().0 < begun.0 + 2 * LIFE.as_millis() as u64 + 1_000 {
        // A certificate is renewed when its time has come: this is what is waited for.
        tokio::time::sleep(identity.life.until_renewal(Millis::now())).await;
        let renewed = joining::renew(&access, &identity).await.unwrap();
        assert!(renewed.life.ends > identity.life.ends);
        shown.replace(renewed.held().unwrap());
        identity = renewed;
        renewals += 1;
        // Whoever connects now meets the coordinator's newest certificate, and shows its own.
        let fresh = Access::new(identity.coordinator.clone(), Some(identity.tls().unwrap().0)).unwrap();
        let renewed = joining::renew(&fresh, &identity).await;
        renewed.unwrap_or_else(|error| panic!("after {renewals} renewals: {error}"));
    }
    assert!(renewals >= 3, "{renewals}");
    // The first certificates of both sides have ended long ago, and the session has not.
    let late = Access::new(mac.identity.coordinator.clone(), Some(mac.identity.tls().unwrap().0)).unwrap();
    let refused = JobsClient::new(late.channel()).list(v1::ListJobsRequest::default()).await;
    assert!(refused.is_err(), "a certificate that has ended opens nothing");
    // The administrator's connection and the session are of the beginning.
    let submit = v1::SubmitRequest { jobs: vec![train("tutor")] };
    let job = jobs.submit(submit).await.unwrap().into_inner().jobs.remove(0);
    let given = soon("an assignment", worker.assignment()).await;
    assert_eq!(given.job_id, job.id);
}
