//! Files of a folder that somebody else laid out: opened only where they lie in it, and only where reading them ends.
//!
//! A link is followed where its target lies in the folder, too, or, in a snapshot of Hugging Face's cache, among that model's own
//! blobs: `models--ORG--NAME/snapshots/COMMIT/config.json -> ../../blobs/HASH`. A link to anywhere else would take a file along that
//! nobody meant to give away. What is no regular file is not opened: a FIFO without a writer is waited for without end, and a
//! device may never end or may do something when it is read.

use nix::fcntl::OFlag;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What the folders of Hugging Face's cache begin with that have a folder of blobs.
const CACHED: [&str; 2] = ["models--", "datasets--"];

/// Why a file is not read. Says what is wrong and what to do, but not which file it was: whoever asked knows.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// A link to a file elsewhere.
    #[error("it is a link to {}, outside of its folder; put a copy of the file there instead, if it is meant to go along", .0.display())]
    Outside(PathBuf),
    /// A link to nothing.
    #[error("it is a link to {}, which is not there; fetch the rest, or take the link out of the folder", .0.display())]
    Dangling(PathBuf),
    /// Not a regular file.
    #[error("it is a {0} and no regular file; take it out of the folder")]
    Special(&'static str),
    /// More than is read into memory at once.
    #[error("it has {bytes} bytes, and no more than {bytes_max} are read; is it what its name says?")]
    Large {
        /// How many bytes it has, or has at least.
        bytes: u64,
        /// How many are read.
        bytes_max: u64,
    },
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> io::Error {
        match unfit {
            Unfit::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidInput, other),
        }
    }
}

/// A folder, and where the links in it may lead.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// The folder itself, free of links; in a cache its model's blobs, too.
    allowed: Vec<PathBuf>,
}

impl Folder {
    /// The folder at `path`, which may be a link itself.
    ///
    /// # Errors
    /// A folder that is not there.
    pub fn at(path: &Path) -> io::Result<Folder> {
        // The folder of `a.jsonl` is the current one.
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let root = fs::canonicalize(path)?;
        let blobs = blobs(&root);
        Ok(Folder { path: path.to_owned(), allowed: [root].into_iter().chain(blobs).collect() })
    }

    /// Whether there is a file of this name that can be read; `false` where there is nothing of the name.
    ///
    /// # Errors
    /// Something of that name that is not to be read: left out in silence it would be missed later.
    pub fn has(&self, name: impl AsRef<Path>) -> Result<bool, Unfit> {
        match fs::symlink_metadata(self.path.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
            Ok(_) => self.real(name.as_ref()).map(|_| true),
        }
    }

    /// Opens a file of this folder to be read; `name` is relative to it.
    ///
    /// # Errors
    /// A link that leads out of the folder, or what is no regular file.
    pub fn open(&self, name: impl AsRef<Path>) -> Result<File, Unfit> {
        let real = self.real(name.as_ref())?;
        // The file may have been exchanged since it was looked at. Then the last part of its name is not followed if it has become
        // a link, and a FIFO opens at once and is refused.
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(&real)?;
        regular(file.metadata()?.file_type())?;
        Ok(file)
    }

    /// Reads a file of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// As [`open`](Folder::open), and for a file that is larger.
    pub fn read(&self, name: impl AsRef<Path>, bytes_max: u64) -> Result<Vec<u8>, Unfit> {
        let file = self.open(name)?;
        let bytes = file.metadata()?.len();
        if bytes > bytes_max {
            return Err(Unfit::Large { bytes, bytes_max });
        }
        let mut all = Vec::with_capacity(bytes as usize);
        // It may grow while it is read.
        file.take(bytes_max + 1).read_to_end(&mut all)?;
        let bytes = all.len() as u64;
        if bytes > bytes_max { Err(Unfit::Large { bytes, bytes_max }) } else { Ok(all) }
    }

    /// Where a name leads in the end, if it may be read there.
    fn real(&self, name: &Path) -> Result<PathBuf, Unfit> {
        let path = self.path.join(name);
        let real = fs::canonicalize(&path).map_err(|error| match fs::read_link(&path) {
            Ok(target) if error.kind() == io::ErrorKind::NotFound => Unfit::Dangling(target),
            _ => Unfit::Io(error),
        })?;
        if !self.allowed.iter().any(|folder| real.starts_with(folder)) {
            return Err(Unfit::Outside(real));
        }
        regular(fs::symlink_metadata(&real)?.file_type())?;
        Ok(real)
    }
}

/// Opens a file where the links of its own folder may lead.
///
/// # Errors
/// As [`Folder::open`].
pub fn open(path: &Path) -> Result<File, Unfit> {
    let name = path.file_name().ok_or(Unfit::Special("folder"))?;
    Folder::at(path.parent().unwrap_or(Path::new("")))?.open(name)
}

/// Reads all of a file as text; links as in [`open`].
///
/// # Errors
/// As [`Folder::open`]; a file that is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String, Unfit> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// The blobs of the model or dataset in whose snapshot a folder lies, where it lies in Hugging Face's cache.
fn blobs(root: &Path) -> Option<PathBuf> {
    let named =
        |path: &Path, test: &dyn Fn(&str) -> bool| path.file_name().and_then(|name| name.to_str()).is_some_and(test);
    let snapshots = root.ancestors().skip(1).find(|path| named(path, &|name| name == "snapshots"))?;
    let owner = snapshots.parent()?;
    named(owner, &|name| CACHED.iter().any(|prefix| name.starts_with(prefix))).then(|| owner.join("blobs"))
}

fn regular(kind: FileType) -> Result<(), Unfit> {
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "folder",
        _ if kind.is_fifo() => "FIFO",
        _ if kind.is_socket() => "socket",
        _ if kind.is_symlink() => "link",
        _ => "device",
    };
    Err(Unfit::Special(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use tempfile::TempDir;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn text(file: Result<File, Unfit>) -> String {
        io::read_to_string(file.unwrap()).unwrap()
    }

    /// A folder `dir/in` beside a file that is not its own.
    fn beside_a_secret() -> (TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("secret"), "secret");
        write(&dir.path().join("in/a"), "a");
        let folder = Folder::at(&dir.path().join("in")).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_link_within_the_folder_is_followed_and_one_that_leaves_it_is_not() {
        let (dir, folder) = beside_a_secret();
        let inside = dir.path().join("in");
        symlink("a", inside.join("to-a")).unwrap();
        symlink("../in/a", inside.join("there-and-back")).unwrap();
        for name in ["a", "to-a", "there-and-back"] {
            assert_eq!((text(folder.open(name)), folder.has(name).unwrap()), ("a".to_owned(), true));
        }
        assert!(!folder.has("nothing").unwrap());

        let secret = fs::canonicalize(dir.path().join("secret")).unwrap();
        symlink(&secret, inside.join("absolute")).unwrap();
        symlink("../secret", inside.join("relative")).unwrap();
        symlink("relative", inside.join("by-another")).unwrap();
        symlink("..", inside.join("up")).unwrap();
        for name in ["absolute", "relative", "by-another", "up/secret", "../secret"] {
            for refused in [folder.open(name).map(|_| ()), folder.has(name).map(|_| ())] {
                let error = refused.unwrap_err();
                assert!(matches!(&error, Unfit::Outside(target) if *target == secret), "{name}: {error}");
                assert!(error.to_string().contains(&secret.display().to_string()), "{error}");
            }
        }
        symlink("gone", inside.join("dangling")).unwrap();
        assert!(matches!(folder.has("dangling"), Err(Unfit::Dangling(target)) if target == Path::new("gone")));
    }

    #[test]
    fn a_snapshot_of_hugging_faces_cache_reaches_its_own_models_blobs_alone() {
        let cache = tempfile::tempdir().unwrap();
        let model = cache.path().join("hub/models--org--name");
        let other = cache.path().join("hub/models--org--other");
        write(&model.join("blobs/0123"), "config");
        write(&other.join("blobs/4567"), "another's");
        write(&model.join("refs/main"), "abcd");
        let snapshot = model.join("snapshots/abcd");
        fs::create_dir_all(snapshot.join("data")).unwrap();
        symlink("../../blobs/0123", snapshot.join("config.json")).unwrap();
        symlink("../../../blobs/0123", snapshot.join("data/a.jsonl")).unwrap();
        symlink("../../../models--org--other/blobs/4567", snapshot.join("other")).unwrap();
        symlink("../../refs/main", snapshot.join("ref")).unwrap();
        // The snapshot may be reached by a link of the person's own.
        symlink(&snapshot, cache.path().join("mine")).unwrap();
        for path in [&snapshot, &cache.path().join("mine")] {
            let folder = Folder::at(path).unwrap();
            assert_eq!(text(folder.open("config.json")), "config");
            for name in ["other", "ref"] {
                assert!(matches!(folder.open(name), Err(Unfit::Outside(_))), "{name}");
            }
        }
        assert_eq!(text(open(&snapshot.join("data/a.jsonl"))), "config");

        // The same layout under another name is nobody's cache.
        let plain = cache.path().join("plain");
        write(&plain.join("blobs/0123"), "x");
        fs::create_dir_all(plain.join("snapshots/abcd")).unwrap();
        symlink("../../blobs/0123", plain.join("snapshots/abcd/a")).unwrap();
        assert!(matches!(open(&plain.join("snapshots/abcd/a")), Err(Unfit::Outside(_))));
    }

    #[test]
    fn what_is_no_regular_file_is_named_and_not_waited_for() {
        let (dir, folder) = beside_a_secret();
        let inside = dir.path().join("in");
        nix::unistd::mkfifo(&inside.join("pipe"), Mode::S_IRWXU).unwrap();
        symlink("pipe", inside.join("to-pipe")).unwrap();
        let _listener = UnixListener::bind(inside.join("socket")).unwrap();
        fs::create_dir(inside.join("sub")).unwrap();
        for (name, what) in [("pipe", "FIFO"), ("to-pipe", "FIFO"), ("socket", "socket"), ("sub", "folder")] {
            for refused in [folder.open(name).map(|_| ()), folder.has(name).map(|_| ())] {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains(&format!("a {what} ")), "{name}: {error}");
            }
        }
        let device = Folder::at(Path::new("/dev")).unwrap().open("null").unwrap_err();
        assert!(matches!(device, Unfit::Special("device")), "{device}");
    }

    #[test]
    fn no_more_is_read_than_was_allowed() {
        let (_dir, folder) = beside_a_secret();
        assert_eq!(folder.read("a", 1).unwrap(), b"a");
        let error = folder.read("a", 0).unwrap_err();
        assert!(matches!(error, Unfit::Large { bytes: 1, bytes_max: 0 }), "{error}");
    }
}
