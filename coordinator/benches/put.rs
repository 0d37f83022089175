//! A large blob into a store that is a folder, beside what a person would do without us: `cp` and `sha256sum`.
//!
//! `cargo bench -p vertigo-coordinator --bench put -- [MIB] [FOLDER]`: a file of so many MiB of noise (1024) is copied and hashed, then
//! sent through the gateway by the client that every part of Vertigo uses, and sent once more when it is there. Each is done three times
//! in turns, and the best counts; the ratio is what is measured, since machines differ.

use rand::Rng;
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use vertigo::manifest::{Kind, Manifest};
use vertigo_client::{Access, Transfer};
use vertigo_coordinator::keep::Keep;
use vertigo_coordinator::serve::connections::Limits;
use vertigo_coordinator::server::{Config, Server};

const ROUNDS: usize = 3;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mib: u64 = arguments.first().map_or(Ok(1024), |text| text.parse())?;
    let folder = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let input = folder.path().join("input");
    fs::create_dir(&input)?;
    noise(&input.join("blob"), mib)?;
    let manifest = vertigo_client::describe(Kind::Dataset, &input, Default::default()).await?;
    let (mut copied, mut put, mut again) = (Duration::MAX, Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        copied = copied.min(copy_and_hash(&input.join("blob"), &folder.path().join("copy"))?);
        let (first, second) = put_twice(&input, &manifest, &folder.path().join("state")).await?;
        (put, again) = (put.min(first), again.min(second));
    }
    let rate = |time: Duration| mib as f64 / time.as_secs_f64();
    println!("cp + sha256sum  {mib} MiB  {copied:>10.2?}  {:>6.0} MiB/s", rate(copied));
    println!("put             {mib} MiB  {put:>10.2?}  {:>6.0} MiB/s", rate(put));
    println!("put again       {mib} MiB  {again:>10.2?}");
    println!("ratio           {:.2} × cp + sha256sum", copied.as_secs_f64() / put.as_secs_f64());
    Ok(())
}

fn noise(path: &Path, mib: u64) -> std::io::Result<()> {
    let (mut file, mut chunk) = (File::create(path)?, vec![0; 1 << 20]);
    for _ in 0..mib {
        rand::rng().fill_bytes(&mut chunk);
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

fn copy_and_hash(from: &Path, to: &Path) -> Result<Duration, Box<dyn Error>> {
    let begun = Instant::now();
    let copied = Command::new("cp").arg(from).arg(to).status()?;
    let hashed = Command::new("sha256sum").arg(to).stdout(Stdio::null()).status()?;
    let took = begun.elapsed();
    fs::remove_file(to)?;
    if copied.success() && hashed.success() { Ok(took) } else { Err("cp or sha256sum failed".into()) }
}

async fn put_twice(input: &Path, manifest: &Manifest, state: &Path) -> Result<(Duration, Duration), Box<dyn Error>> {
    let config = Config {
        listen: "127.0.0.1:0".parse()?,
        state: state.to_owned(),
        store: None,
        lease: Duration::from_secs(30),
        anew: false,
        keep: Keep::default(),
        reserve: None,
        collect_every: Duration::from_secs(3600),
        limits: Limits::of_process()?,
        certificates: None,
    };
    let server = Server::start(config).await?;
    let transfer = Transfer::new(&Access::plain(format!("http://{}", server.address()).parse()?)?);
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move {
        let _ = stopped.await;
    }));
    let mut took = [Duration::ZERO; 2];
    for took in &mut took {
        let begun = Instant::now();
        transfer.push(input, manifest, &|_| {}).await?;
        *took = begun.elapsed();
    }
    // Fails where the server has ended, which it says below.
    let _ = stop.send(());
    running.await??;
    fs::remove_dir_all(state)?;
    Ok((took[0], took[1]))
}
