//! The host's place in the file system: made, mounted, found dead, taken away.
//!
//! ```text
//!   DIR/sys  DIR/dev  DIR/sim     one FUSE mount each
//!   DIR/run  DIR/etc  DIR/var  DIR/tmp     plain directories
//!   DIR/proc -> /proc
//!   DIR/.mdevkit-sim              what of this was made here: kill -9 leaves it to the next start
//! ```
//!
//! Only what was made here is removed, and nothing while something foreign is mounted below it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{getegid, geteuid};

use crate::error::SimError;
use crate::fs::SimFs;
use crate::shared::Shared;
use crate::tree::NodeId;

const MOUNTS: [&str; 3] = ["sys", "dev", "sim"];
const PLAIN: [&str; 4] = ["run", "etc", "var", "tmp"];
const PROC: &str = "proc";
const MARKER: &str = ".mdevkit-sim";
const SOURCE: &str = "mdevkit-sim";

/// How long a session may take to end once it is unmounted, and again once it is aborted.
const PATIENCE: Duration = Duration::from_secs(1);

/// The directories of a host, and which of them are ours to remove.
#[derive(Debug)]
pub(crate) struct Place {
    root: PathBuf,
    made: Vec<String>,
    mounted: Vec<Mounted>,
    cleared: bool,
}

#[derive(Debug)]
struct Mounted {
    path: PathBuf,
    /// The connection's number in `/sys/fs/fuse/connections`.
    connection: Option<u64>,
    session: BackgroundSession,
}

impl Place {
    /// Makes the directories, after clearing away what a killed host left there.
    pub(crate) fn make(dir: &Path) -> Result<Self, SimError> {
        let absolute = std::path::absolute(dir).map_err(SimError::io("find", dir))?;
        let mut place = Place {
            root: absolute,
            made: Vec::new(),
            mounted: Vec::new(),
            cleared: false,
        };
        let existed = place.root.exists();
        if existed {
            place.root = place.root.canonicalize().map_err(SimError::io("find", dir))?;
            place.recover()?;
        } else {
            fs::create_dir_all(&place.root).map_err(SimError::io("make directory", &place.root))?;
            place.made.push(String::new());
            place.root = place.root.canonicalize().map_err(SimError::io("find", dir))?;
        }
        let laid = place.lay();
        match laid {
            Ok(()) => Ok(place),
            Err(error) => {
                let _ = place.clear();
                Err(error)
            }
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn lay(&mut self) -> Result<(), SimError> {
        // The marker is written before what it lists: a kill in between leaves too long a list, which does no harm.
        for name in MOUNTS.iter().chain(&PLAIN).chain(&[PROC]) {
            if self.root.join(name).symlink_metadata().is_err() && !self.made.iter().any(|made| made == name) {
                self.made.push((*name).to_owned());
            }
        }
        let marker = self.root.join(MARKER);
        let text: String = self.made.iter().map(|name| format!("{name}\n")).collect();
        let written = File::create(&marker).and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(SimError::io("write", &marker))?;
        for name in MOUNTS.iter().chain(&PLAIN) {
            let path = self.root.join(name);
            fs::create_dir_all(&path).map_err(SimError::io("make directory", &path))?;
        }
        let proc = self.root.join(PROC);
        match symlink("/proc", &proc) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(SimError::io("make link", &proc)(error)),
            _ => Ok(()),
        }
    }

    /// A host that was killed leaves mounts that answer ENOTCONN, and its marker.
    fn recover(&mut self) -> Result<(), SimError> {
        for name in MOUNTS {
            let path = self.root.join(name);
            // Mounts may lie on each other; what is below one is only seen without it.
            for _ in 0..16 {
                match fs::read_dir(&path) {
                    Err(error) if error.raw_os_error() == Some(nix::errno::Errno::ENOTCONN as i32) => {
                        log::info!("{} is a dead mount; unmounting it", path.display());
                        detach(&path).map_err(SimError::io("unmount", &path))?;
                    }
                    _ => break,
                }
            }
        }
        let marker = self.root.join(MARKER);
        if let Some(at) = mounts_below(&self.root)
            .into_iter()
            .find(|at| MOUNTS.iter().any(|m| *at == self.root.join(m)))
        {
            return Err(if marker.exists() {
                SimError::Mounted {
                    path: self.root.clone(),
                }
            } else {
                SimError::NotEmpty { path: at }
            });
        }
        match fs::read_to_string(&marker) {
            Ok(text) => {
                let ours = |name: &&str| {
                    MOUNTS
                        .iter()
                        .chain(&PLAIN)
                        .chain(&[PROC, ""])
                        .any(|known| known == name)
                };
                self.made = text.lines().filter(ours).map(str::to_owned).collect();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(SimError::io("read", &marker)(error)),
        }
        for name in MOUNTS {
            let path = self.root.join(name);
            if fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
                return Err(SimError::NotEmpty { path });
            }
        }
        Ok(())
    }

    /// Puts a part of the host's tree in its place.
    pub(crate) fn mount(&mut self, name: &str, shared: &Arc<Shared>, part: NodeId) -> Result<(), SimError> {
        let path = self.root.join(name);
        let fs = SimFs::new(Arc::clone(shared), part);
        let session = if geteuid().is_root() {
            serve_as_root(&path, fs)?
        } else {
            serve_as_user(&path, fs)?
        };
        let connection = connection_of(&path);
        self.mounted.push(Mounted {
            path,
            connection,
            session,
        });
        Ok(())
    }

    /// Unmounts, ends the sessions, removes what was made. Takes 2 s for each busy mount at most.
    pub(crate) fn clear(&mut self) -> Result<(), SimError> {
        // Once: what stands there afterwards may be another host.
        if std::mem::replace(&mut self.cleared, true) {
            return Ok(());
        }
        let mut first: Option<SimError> = None;
        let mut keep = |result: Result<(), SimError>| {
            if let Err(error) = result {
                log::warn!("{error}");
                first.get_or_insert(error);
            }
        };
        let mounted: Vec<_> = self.mounted.drain(..).rev().collect();
        for mount in &mounted {
            keep(detach(&mount.path).map_err(SimError::io("unmount", &mount.path)));
        }
        for mount in mounted {
            keep(mount.end());
        }
        keep(self.remove_made());
        first.map_or(Ok(()), Err)
    }

    fn remove_made(&mut self) -> Result<(), SimError> {
        if let Some(path) = mounts_below(&self.root).into_iter().next() {
            return Err(SimError::ForeignMount { path });
        }
        let made = std::mem::take(&mut self.made);
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        for name in made.iter().filter(|name| !name.is_empty()) {
            let path = self.root.join(name);
            let removed = match name.as_str() {
                PROC => fs::remove_file(&path),
                plain if PLAIN.contains(&plain) => fs::remove_dir_all(&path),
                _ => fs::remove_dir(&path),
            };
            gone(removed).map_err(SimError::io("remove", &path))?;
        }
        let marker = self.root.join(MARKER);
        gone(fs::remove_file(&marker)).map_err(SimError::io("remove", &marker))?;
        if made.iter().any(String::is_empty) {
            // Someone may have put something of his own beside our directories: then it stays.
            match fs::remove_dir(&self.root) {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                other => gone(other).map_err(SimError::io("remove", &self.root))?,
            }
        }
        Ok(())
    }
}

impl Mounted {
    fn end(self) -> Result<(), SimError> {
        if !self.ends_soon() {
            self.abort();
        }
        if self.ends_soon() {
            let _ = self.session.join();
            return Ok(());
        }
        // Dropping the session would unmount by path, which by then may be somebody else's.
        std::mem::forget(self.session);
        Err(SimError::StillInUse { path: self.path })
    }

    fn ends_soon(&self) -> bool {
        let until = Instant::now() + PATIENCE;
        while !self.session.guard.is_finished() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// Ends the connection under those who still use it, if the kernel's switches can be reached.
    fn abort(&self) {
        let Some(connection) = self.connection else { return };
        let switch = |folder: &Path| {
            let file = OpenOptions::new()
                .write(true)
                .open(folder.join(connection.to_string()).join("abort"));
            file.and_then(|mut file| file.write_all(b"1"))
        };
        if switch(Path::new("/sys/fs/fuse/connections")).is_ok() {
            return;
        }
        // The mount point is free by now: it serves to show the switches for a moment.
        let none: Option<&str> = None;
        if mount(Some("fusectl"), &self.path, Some("fusectl"), MsFlags::empty(), none).is_ok() {
            if let Err(error) = switch(&self.path) {
                log::warn!("{}: cannot abort its connection: {error}", self.path.display());
            }
            let _ = detach(&self.path);
        }
    }
}

const DEVICE: &str = "/dev/fuse";

/// Mounts by the system call; needs no fusermount.
fn serve_as_root(path: &Path, fs: SimFs) -> Result<BackgroundSession, SimError> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(SimError::io("open", DEVICE))?;
    let options = format!(
        "fd={},rootmode=40000,user_id={},group_id={},allow_other,default_permissions",
        device.as_raw_fd(),
        geteuid(),
        getegid()
    );
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount(
        Some(SOURCE),
        path,
        Some("fuse.mdevkit-sim"),
        flags,
        Some(options.as_str()),
    );
    mounted.map_err(io::Error::from).map_err(SimError::io("mount", path))?;
    let session = Session::from_fd(fs, device.into(), SessionACL::All, Config::default()).and_then(Session::spawn);
    session.map_err(|error| {
        let _ = detach(path);
        SimError::io("serve", path)(error)
    })
}

/// Mounts through fusermount3; only this user then sees the host.
fn serve_as_user(path: &Path, fs: SimFs) -> Result<BackgroundSession, SimError> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
    ];
    Session::new(fs, path, &config)
        .and_then(Session::spawn)
        .map_err(SimError::io("mount (by fusermount3)", path))
}

/// Takes a mount out of the name space at once, busy or not.
fn detach(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH) {
        Err(nix::errno::Errno::EPERM) => {
            let status = Command::new("fusermount3")
                .args(["-u", "-q", "-z", "--"])
                .arg(path)
                .status()?;
            if status.success() {
                Ok(())
            } else {
                Err(nix::errno::Errno::EPERM.into())
            }
        }
        // Somebody unmounted it already.
        Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

fn connection_of(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let device = fs::metadata(path).ok()?.dev();
    // glibc's gnu_dev_minor.
    Some((device & 0xff) | ((device >> 12) & 0xffff_ff00))
}

/// The mount points below a directory, in this mount namespace.
fn mounts_below(root: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let point = |line: &str| Some(PathBuf::from(unescape(line.split(' ').nth(4)?)));
    table
        .lines()
        .filter_map(point)
        .filter(|at| at.starts_with(root) && at != root)
        .collect()
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    let named = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    named
        .iter()
        .fold(text.to_owned(), |text, (code, plain)| text.replace(code, plain))
}
