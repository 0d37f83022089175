//! The coordinator as people and workers meet it: a real server in this process, real gRPC and HTTP, real files.

mod backup;
mod blobs;
mod browsers;
mod connections;
mod harness;
mod healing;
mod holds;
mod http;
mod identity;
mod jobs;
mod keeping;
mod lists;
mod pipelines;
mod process;
mod tags;
mod workers;
