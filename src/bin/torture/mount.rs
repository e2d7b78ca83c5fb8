//! File systems for campaigns: a small one in memory, and one on an image that can be shut down as
//! by a power loss.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Outcome, folder};

/// A mounted file system; unmounted when dropped.
pub(crate) struct Mount {
    folder: PathBuf,
}

/// The reason why this machine cannot mount a file system; `None` if it may be able to.
pub(crate) fn obstacle(tools: &[&str], devices: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    if let Some(device) = devices.iter().find(|device| !Path::new(device).exists()) {
        return Some(format!("there is no {device}"));
    }
    let missing = tools.iter().find(|tool| {
        let version = Command::new(tool).arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_err()
    });
    missing.map(|tool| format!("there is no {tool}"))
}

fn run(program: &str, args: &[&str]) -> Outcome<()> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

impl Mount {
    /// A file system in memory, of `n_bytes` bytes.
    pub(crate) fn in_memory(folder: &Path, n_bytes: u64) -> Outcome<Self> {
        folder::create(folder)?;
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={n_bytes}"), "vectrove-torture", &folder.to_string_lossy()],
        )?;
        Ok(Mount { folder: folder.to_owned() })
    }

    /// Makes an image with an empty ext4 in it.
    pub(crate) fn make_image(image: &Path, n_bytes: u64) -> Outcome<()> {
        let made = std::fs::File::create(image).and_then(|file| file.set_len(n_bytes));
        made.map_err(|error| format!("making {}: {error}", image.display()))?;
        run("mkfs.ext4", &["-q", "-F", &image.to_string_lossy()])
    }

    /// Mounts an image.
    pub(crate) fn image(image: &Path, folder: &Path) -> Outcome<Self> {
        folder::create(folder)?;
        run("mount", &["-o", "loop", &image.to_string_lossy(), &folder.to_string_lossy()])?;
        Ok(Mount { folder: folder.to_owned() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Shuts the file system down at once. Data that is not on disk yet, its journal included, is
    /// lost.
    pub(crate) fn lose_power(&self) -> Outcome<()> {
        shut_down(&self.folder).map_err(|error| format!("FS_IOC_SHUTDOWN on {}: {error}", self.folder.display()))
    }

    /// Unmounts, and returns an error if this fails.
    pub(crate) fn unmount(self) -> Outcome<()> {
        let folder = self.folder.clone();
        std::mem::forget(self);
        run("umount", &[&folder.to_string_lossy()])
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // If the file system is still in use, it is unmounted with its last user.
        if let Err(error) = run("umount", &["-l", &self.folder.to_string_lossy()]) {
            eprintln!("{error}");
        }
    }
}

#[expect(unsafe_code, reason = "an ioctl has no safe form")]
fn shut_down(folder: &Path) -> std::io::Result<()> {
    use rustix::ioctl::{Setter, ioctl};

    const FS_IOC_SHUTDOWN: u32 = 0x8004_587d;
    const NO_LOG_FLUSH: u32 = 2;
    let folder = std::fs::File::open(folder)?;
    // SAFETY: the kernel reads one u32 through the pointer that `Setter` passes, and writes
    // nothing.
    Ok(unsafe { ioctl(folder, Setter::<FS_IOC_SHUTDOWN, u32>::new(NO_LOG_FLUSH)) }?)
}
