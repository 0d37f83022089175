//! The coordinator as people and workers meet it: a real server in this process, real gRPC and HTTP, real files.

mod blobs;
mod harness;
mod healing;
mod jobs;
mod workers;
