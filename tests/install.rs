//! `deploy/install.sh` with small tarballs of our own: what it installs, and what it refuses before it touches anything.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use vertigo_tests::repository;

const NAME: &str = "vertigo-9.9.9-linux-x86_64";

/// A folder with a tarball as `deploy/dist.sh` makes it, though smaller.
struct Release {
    folder: TempDir,
}

/// Runs a line of shell in a folder.
fn shell(folder: &Path, line: &str) -> Output {
    let output = Command::new("bash").args(["-euo", "pipefail", "-c", line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// SHA-256 with the name of what the machine has for it.
const SUMS: &str =
    "sums() { if command -v sha256sum >/dev/null; then sha256sum \"$@\"; else shasum -a 256 \"$@\"; fi; }";

impl Release {
    /// A release after what shell did in its folder, before the sums inside were made and after.
    fn of(before_sums: &str, after_sums: &str) -> Release {
        let folder = tempfile::tempdir().unwrap();
        let stage = folder.path().join(NAME);
        for (path, text, mode) in [
            ("bin/vertigo", "#!/bin/sh\necho vertigo 9.9.9\n", 0o755),
            ("lib/vertigo/mlx/lib/libmlx.so", "a library", 0o755),
            ("share/man/man1/vertigo.1", ".TH vertigo 1\n", 0o644),
            ("share/doc/vertigo/a name with spaces", "text", 0o644),
            ("install.sh", "#!/bin/sh\nexit 1\n", 0o755),
        ] {
            let path = stage.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        let inside = "find . -type f ! -name SHA256SUMS | sed 's|^\\./||' | while IFS= read -r file; do sums \"$file\"; done > ../inside; \
                      mv ../inside SHA256SUMS";
        shell(&stage, &format!("{SUMS}; {before_sums}\n{inside}\n{after_sums}"));
        let release = Release { folder };
        release.pack("");
        release
    }

    /// Makes the tarball and the sums beside it; `more` are further arguments of tar.
    fn pack(&self, more: &str) {
        shell(
            self.folder.path(),
            &format!("{SUMS}; tar -czf {NAME}.tar.gz {NAME} {more}; sums {NAME}.tar.gz > SHA256SUMS"),
        );
    }

    fn tarball(&self) -> PathBuf {
        self.folder.path().join(format!("{NAME}.tar.gz"))
    }

    fn prefix(&self) -> PathBuf {
        self.folder.path().join("prefix")
    }

    /// Whether it was installed, and what was said.
    fn install(&self) -> (bool, String) {
        let mut command = Command::new("sh");
        command.arg(repository().join("deploy/install.sh")).arg(self.tarball()).env("PREFIX", self.prefix());
        let output = command.env_remove("SUMS").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Asserts that it is refused with these words, and that nothing was installed.
    fn is_refused_for(&self, why: &str) {
        let (is_installed, said) = self.install();
        assert!(!is_installed && said.contains(why), "{why}: {said}");
        let left = fs::read_dir(self.prefix()).map(|entries| entries.count()).unwrap_or_default();
        assert_eq!(left, 0, "{said}");
    }
}

#[test]
fn a_whole_tarball_is_installed_and_again_over_a_program_that_runs() {
    let release = Release::of("", "");
    let (is_installed, said) = release.install();
    assert!(is_installed, "{said}");
    let program = release.prefix().join("bin/vertigo");
    assert_eq!(Command::new(&program).output().unwrap().stdout, b"vertigo 9.9.9\n");
    let mode = |path: &str| fs::metadata(release.prefix().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("bin/vertigo"), mode("share/man/man1/vertigo.1")), (0o755, 0o644));
    assert_eq!(fs::read(release.prefix().join("share/doc/vertigo/a name with spaces")).unwrap(), b"text");
    assert!(!release.prefix().join("install.sh").exists(), "what is not of the prefix stays in the tarball");

    // Somebody who has the program open keeps the one that they have.
    let open = fs::File::open(&program).unwrap();
    let (is_installed, said) = release.install();
    assert!(is_installed, "{said}");
    let inode = |metadata: fs::Metadata| std::os::unix::fs::MetadataExt::ino(&metadata);
    assert_ne!(inode(open.metadata().unwrap()), inode(fs::metadata(&program).unwrap()));
    let names: Vec<_> = fs::read_dir(release.prefix().join("bin")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["vertigo"], "nothing half written is left");
}

#[test]
fn everybody_can_use_what_was_installed_whatever_the_umask() {
    for mask in ["077", "000"] {
        let release = Release::of("", "");
        let script = repository().join("deploy/install.sh");
        let line = format!("umask {mask}; PREFIX=$PWD/prefix sh '{}' {NAME}.tar.gz", script.display());
        shell(release.folder.path(), &line);
        for folder in ["", "bin", "lib/vertigo/mlx/lib", "share/man"] {
            let mode = fs::metadata(release.prefix().join(folder)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o755, "{folder}, umask {mask}");
        }
    }
}

#[test]
fn a_disk_that_fills_up_leaves_the_version_before() {
    let release = Release::of("", "");
    assert!(release.install().0);
    let next = Release::of("echo 'echo new' >> bin/vertigo", "");
    fs::rename(next.tarball(), release.tarball()).unwrap();
    fs::copy(next.folder.path().join("SHA256SUMS"), release.folder.path().join("SHA256SUMS")).unwrap();
    let script = repository().join("deploy/install.sh");
    let line = format!(
        "mkdir fake; printf '#!/bin/sh\\ncase \"$1\" in *libmlx.so) exit 1;; esac\\nexec /bin/cp \"$@\"\\n' > fake/cp; chmod +x fake/cp; \
         ! PATH=$PWD/fake:$PATH PREFIX=$PWD/prefix sh '{}' {NAME}.tar.gz",
        script.display()
    );
    shell(release.folder.path(), &line);
    let text = fs::read_to_string(release.prefix().join("bin/vertigo")).unwrap();
    assert!(!text.contains("new"), "half of another version is there");
    let left = shell(&release.prefix(), "find . -name '*.new.*'").stdout;
    assert_eq!(String::from_utf8_lossy(&left), "");
    assert!(release.install().0);
}

#[test]
fn a_machine_that_can_make_no_sums_is_told_so() {
    let release = Release::of("", "");
    let script = repository().join("deploy/install.sh");
    let line = format!(
        "mkdir few; for it in sh awk basename dirname; do ln -s \"$(command -v $it)\" few/; done; \
         (! PATH=$PWD/few PREFIX=$PWD/prefix few/sh '{}' {NAME}.tar.gz) 2>&1",
        script.display()
    );
    let said = shell(release.folder.path(), &line).stdout;
    assert!(
        String::from_utf8_lossy(&said).contains("neither sha256sum nor shasum"),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn a_tarball_that_was_changed_is_refused() {
    let release = Release::of("", "");
    let mut bytes = fs::read(release.tarball()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(release.tarball(), bytes).unwrap();
    release.is_refused_for("was tampered with");
}

#[test]
fn a_tarball_without_sums_or_of_another_release_is_refused() {
    let release = Release::of("", "");
    let sums = release.folder.path().join("SHA256SUMS");
    fs::write(&sums, "00  another.tar.gz\n").unwrap();
    release.is_refused_for("says nothing of");
    fs::remove_file(&sums).unwrap();
    release.is_refused_for("fetch SHA256SUMS");
}

#[test]
fn files_that_the_sums_inside_do_not_hold_for_are_refused() {
    Release::of("", "echo changed > bin/vertigo").is_refused_for("not what its SHA256SUMS say");
    Release::of("", "echo more > bin/more").is_refused_for("not the same");
    Release::of("", "rm share/man/man1/vertigo.1").is_refused_for("not what its SHA256SUMS say");
    Release::of("", "rm SHA256SUMS").is_refused_for("holds no SHA256SUMS");
}

#[test]
fn what_leads_out_of_the_tarballs_folder_is_refused() {
    Release::of("ln -s /etc/passwd bin/passwd", "").is_refused_for("neither a file nor a folder");
    let release = Release::of("", "");
    fs::write(release.folder.path().join("outside"), "").unwrap();
    release.pack("outside");
    release.is_refused_for("lies outside of");
    release.pack(&format!("-P {NAME}/../outside"));
    release.is_refused_for("lies outside of");
}
